"""Read all files of the inbox, then stop. For cron; see jobs/README.md."""

from pathlib import Path

from digitrec import logs
from digitrec.app import service
from digitrec.app.run import run_once
from digitrec.cli.options import convert_errors, start_logging
from digitrec.errors import DigitrecError
from digitrec.settings import Settings


def main() -> int:
    """Drain the inbox of the workspace in `DIGITREC_WORKSPACE`, or of the current folder; return the exit code."""
    try:
        with convert_errors("drain inbox", Path()):
            settings = Settings.load()
            start_logging(settings)
            stop = service.ShutdownSignal()
            with stop.on_signals():
                summary = run_once(settings, stop)
    except DigitrecError as why:
        logs.warning(str(why), hint=why.hint)
        return why.exit_code
    logs.info("inbox drained", files=summary.count.claimed, review=summary.count.review, waiting=summary.waiting)
    return stop.exit_code if stop() else 0


if __name__ == "__main__":
    service.exit_now(main())
