"""Every report made again from the ledgers: the batches', the trend over time, and the list of all."""

import time
from collections.abc import Mapping
from pathlib import Path

import digitrec
from digitrec import logs
from digitrec.app import composition, reports
from digitrec.clock import utc
from digitrec.errors import MissingPackage
from digitrec.reports import batch_report
from digitrec.reports.drift import Reference, reference_of
from digitrec.reports.trend import BatchEntry, entry_of
from digitrec.reports.trend_report import FOLDER, write_trend
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger


def write_all(settings: Settings, ledgers: Mapping[str, Ledger]) -> tuple[Path, int]:
    """Write all of them; gives the list of reports, and how many reports of batches were made.

    Where a slim installation cannot draw the trend, a warning says so.

    Args:
        settings: say where reports and models lie.
        ledgers: of all workers.

    Raises:
        OSError: the disk does not take them.
    """
    entries: list[BatchEntry] = []
    for facts in reports.written(settings, ledgers):
        entries.append(entry_of(facts))
    made_at = utc(time.time())
    try:
        write_trend(
            settings.reports / FOLDER,
            entries,
            _references(settings),
            made_at=made_at,
            app_version=digitrec.__version__,
        )
    except MissingPackage as why:  # the other reports are what a slim installation can have
        logs.warn("the trend is not made", why=why, hint=why.hint)
    return batch_report.write_index(settings.reports), len(entries)


def _references(settings: Settings) -> dict[str, Reference]:
    """What the cards of this workspace's models tell, by id; a model that was removed, or is damaged, tells nothing."""
    cards = [one.card for one in composition.model_store(settings).list() if one.card is not None]
    return {card.id: reference_of(card) for card in cards}
