"""Every report made again from the ledgers: the batches', the trend over time, and the list of all."""

import time
from collections.abc import Mapping
from pathlib import Path

import digitrec
from digitrec import app, batch_reports, logs
from digitrec.clock import utc
from digitrec.errors import MissingPackage
from digitrec.ledger import Ledger
from digitrec.reporting import report
from digitrec.reporting.drift import Reference, reference_of
from digitrec.reporting.trend import BatchEntry, entry_of
from digitrec.reporting.trend_page import FOLDER, write_trend
from digitrec.settings import Settings


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
    for facts in batch_reports.written(settings, ledgers):
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
    return report.write_index(settings.reports), len(entries)


def _references(settings: Settings) -> dict[str, Reference]:
    """What the cards of this workspace's models tell, by id; a model that was removed, or is damaged, tells nothing."""
    cards = [one.card for one in app.model_store(settings).list() if one.card is not None]
    return {card.id: reference_of(card) for card in cards}
