"""Open tables, reports and originals of a workspace for the pages, and export tables; no link is followed."""

import os
import stat
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from digitrec.errors import UsageError
from digitrec.exchange import export
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review.page_images import open_below
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import CORRECTED_FOLDER
from digitrec.storage.csv_tables import LATEST_NAME
from digitrec.text import BATCH_ID

REPORT_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
}
"""Media types of the files in the reports folder; others are not served."""
EXPORT_TYPES = {
    ".csv": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_TABLE_SUFFIXES = ("", ".numbers", ".digits")
_INDEX = "index.html"


def is_table_name(name: str) -> bool:
    """Return whether a name is that of a table in the outbox or in `corrected/`."""
    batch_id, _, suffix = name.removesuffix(".csv").partition(".")
    is_of_batch = BATCH_ID.fullmatch(batch_id) is not None and f".{suffix}".removesuffix(".") in _TABLE_SUFFIXES
    return name.endswith(".csv") and (is_of_batch or name == LATEST_NAME)


@dataclass(frozen=True, slots=True)
class WorkspaceFiles:
    """Files of a workspace, opened for reading."""

    settings: Settings
    _exporting: threading.Lock
    """One export at a time: each reads every row."""

    def read_table(self, name: str, *, is_corrected: bool = False) -> bytes | None:
        """Return the content of a published table; None if there is none of this name."""
        folders = [CORRECTED_FOLDER] if is_corrected else []
        return _read(self.settings.outbox, [*folders, name]) if is_table_name(name) else None

    def has_corrected_table(self, batch_id: str) -> bool:
        """Return whether the review of a batch has a table."""
        return (self.settings.outbox / CORRECTED_FOLDER / f"{batch_id}.csv").is_file()

    def read_report(self, path: str) -> tuple[str, bytes] | None:
        """Return media type and content of a file of the reports; of a folder, of its index page."""
        parts = [part for part in path.split("/") if part]
        if path.endswith("/") or not parts:
            parts.append(_INDEX)
        media_type = REPORT_TYPES.get(Path(parts[-1]).suffix)
        if media_type is None or any(part.startswith(".") for part in parts):
            return None
        data = _read(self.settings.reports, parts)
        return None if data is None else (media_type, data)

    def export_answers(self, table_format: TableFormat, batch_ids: list[str]) -> bytes:
        """Return the latest answers, corrections applied, as one table.

        Raises:
            UsageError: a batch does not exist.
        """
        with self._exporting, tempfile.TemporaryFile() as target, open_ledgers(self.settings) as ledgers:
            export.export(self.settings, ledgers, table_format, target, export.Selection(batch_ids))
            target.seek(0)
            return target.read()

    def export_tables(self, batch_ids: list[str]) -> bytes:
        """Return the numbers of each page as a sheet of a workbook, corrections applied.

        Raises:
            UsageError: a batch does not exist, or no page has numbers.
        """
        with self._exporting, tempfile.TemporaryDirectory() as folder, open_ledgers(self.settings) as ledgers:
            target = Path(folder) / "tables.xlsx"
            selection = export.Selection(batch_ids)
            result = export.export_tables(self.settings, ledgers, TableFormat.XLSX, target, selection)
            if not result.pages:
                raise UsageError("no page has a number to export", hint="Download the answers instead.")
            return target.read_bytes()


def open_files(settings: Settings) -> WorkspaceFiles:
    """Return the files of a workspace."""
    return WorkspaceFiles(settings, threading.Lock())


def _read(folder: Path, parts: list[str]) -> bytes | None:
    """Read a regular file below a folder without following links; None if there is none."""
    if any(part in {"", ".", ".."} or "/" in part or "\0" in part for part in parts):
        return None
    try:
        with os.fdopen(open_below(folder, parts), "rb") as file:
            return file.read() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None
