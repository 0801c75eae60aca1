"""`python -m digitrec` is the same as `digitrec`."""

from digitrec.cli import main

if __name__ == "__main__":
    main()
