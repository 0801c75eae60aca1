"""Run the program: `python -m digitrec`, and the console script `digitrec`."""

import gc
import signal
import sys

_GC_THRESHOLD = 100_000
"""New objects between two collections of garbage; Python's 700 cost a tenth of the start, which makes 50,000."""


def main() -> None:
    """Import the commands, run the one named on the command line, and exit even if a thread hangs."""
    gc.set_threshold(_GC_THRESHOLD)
    try:
        from digitrec.cli.main import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.stderr.write("digitrec: stopped by Ctrl-C\n")
        sys.exit(128 + signal.SIGINT)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if "digitrec.app.service" not in sys.modules:  # then no thread was started
            raise
        from digitrec.app.service import exit_now

        exit_now(code)


if __name__ == "__main__":
    main()
