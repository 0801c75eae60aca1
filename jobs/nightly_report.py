"""Rebuild all reports and verify the workspace. For cron, at night; see jobs/README.md."""

import sys
from pathlib import Path

from digitrec import logs
from digitrec.app import operations, reports
from digitrec.cli.options import convert_errors, start_logging
from digitrec.errors import DigitrecError
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings


def main() -> int:
    """Rebuild and verify; return 1 if a file is not accounted for."""
    try:
        with convert_errors("nightly report", Path()):
            settings = Settings.load()
            start_logging(settings)
            with open_ledgers(settings) as ledgers:
                page, count = reports.write_all_reports(settings, ledgers)
            report = operations.verify(settings)
    except DigitrecError as why:
        logs.warning(str(why), hint=why.hint)
        return why.exit_code
    for difference in report.discrepancies:
        logs.warning("the workspace has a discrepancy", difference=difference)
    logs.info("reports made", reports=count, page=page, differences=len(report.discrepancies))
    return 1 if report.discrepancies else 0


if __name__ == "__main__":
    sys.exit(main())
