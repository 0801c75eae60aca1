"""Use cases that exchange tables with other programs: export the results, import corrections."""

import time
from pathlib import Path
from typing import IO

from digitrec.exchange import export, importer
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.text import format_utc


def export_results(
    settings: Settings, table_format: TableFormat, target: Path | IO[bytes], selection: export.Selection
) -> export.ExportResult:
    """Write the latest results of a selection of batches, corrections applied."""
    with open_ledgers(settings) as ledgers:
        return export.export(settings, ledgers, table_format, target, selection)


def export_tables(
    settings: Settings, table_format: TableFormat, target: Path, selection: export.Selection
) -> export.TablesResult:
    """Write the numbers of each page of a selection of batches as a separate table, corrections applied."""
    with open_ledgers(settings) as ledgers:
        return export.export_tables(settings, ledgers, table_format, target, selection)


def plan_import(settings: Settings, table: Path, *, confirm_unchanged: bool) -> importer.ImportPlan:
    """Return the corrections of a table, and the lines that cannot be applied."""
    with open_ledgers(settings) as ledgers:
        return importer.plan_import(table.read_bytes(), ledgers, confirm_unchanged=confirm_unchanged)


def apply_import(settings: Settings, plan: importer.ImportPlan, reviewer: str) -> importer.ImportResult:
    """Record the corrections of a plan."""
    return importer.apply_import(settings, plan, who=reviewer, at=format_utc(time.time()))
