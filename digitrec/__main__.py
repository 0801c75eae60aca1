"""`python -m digitrec` is the same as `digitrec`."""

from digitrec.cli import program

if __name__ == "__main__":
    program()
