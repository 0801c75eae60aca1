"""Helpers for tests of runs and watches."""

import errno
import sqlite3
from typing import Any

import pytest

from digitrec.monitoring.verify import IntegrityReport, verify
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from tests.conftest import read_csv

FULL = OSError(errno.ENOSPC, "No space left on device")
LOCKED = sqlite3.OperationalError("database is locked")


def rows(settings: Settings) -> list[str]:
    return [row["file"] for path in settings.outbox.glob("*Z-????????.csv") for row in read_csv(path)]


def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception, *, times: int) -> list[int]:
    real = getattr(owner, name)
    calls: list[int] = []

    def fails(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, fails)
    return calls


def verify_workspace(settings: Settings) -> IntegrityReport:
    with open_ledgers(settings) as ledgers:
        return verify(settings.workspace, ledgers)
