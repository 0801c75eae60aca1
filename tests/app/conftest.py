"""Fixtures for tests of the use cases."""

from pathlib import Path

import pytest

from digitrec.app import run as app_run
from digitrec.settings import Settings
from tests.conftest import draw


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    return Settings(workspace=tmp_path, settle_s=0, engine="serial", run_retry_s=20)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_run, "backoff_s", lambda tries: 0.01 * 2 ** (tries - 1))
