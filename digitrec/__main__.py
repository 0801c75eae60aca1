"""Run the program: `python -m digitrec`, and the console script `digitrec`."""


def main() -> None:
    """Import the commands, then run the one named on the command line."""
    from digitrec.cli.main import program

    program()


if __name__ == "__main__":
    main()
