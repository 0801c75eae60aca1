"""`python -m digitrec` is the same as `digitrec`."""

from digitrec.cli.main import program

if __name__ == "__main__":
    program()
