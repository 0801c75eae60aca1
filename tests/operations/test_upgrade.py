"""A ledger of an earlier or later version: what each command makes of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from digitrec import migrations
from digitrec.errors import EnvironmentFailure
from digitrec.ledger import Ledger
from tests.conftest import Desk, draw
from tests.older_ledgers import make_older
from tests.operations.conftest import Say

OLDER = migrations.VERSION - 1


@pytest.fixture
def used(desk: Desk) -> Desk:
    """A workspace with a file that was read, one that was rejected and one that was deferred."""
    desk.drop("7.png")
    desk.drop("noise.png", b"no picture")
    desk.run()
    desk.drop("half.png", draw(7)[:200])
    desk.run(is_old=False)
    return desk


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_status_and_verify_read_an_older_ledger_as_it_is(used: Desk, say: Say) -> None:
    make_older(used.settings.ledger, OLDER)

    status, account = say("status", "--json"), say("verify", "--json")

    assert [file["file"] for file in status.json["deferred"]] == ["half.png"]
    assert status.json["returned"] == status.json["deferred"]
    assert account.code == 0
    assert (account.json["count"]["deferred"], account.json["count"]["released"]) == (1, 1)
    assert account.json["differences"] == []
    assert version_of(used.settings.ledger) == OLDER


def test_run_upgrades_and_keeps_the_account(used: Desk, say: Say) -> None:
    before = used.account().count
    make_older(used.settings.ledger, OLDER)

    used.run()

    assert version_of(used.settings.ledger) == migrations.VERSION
    assert used.account().count.accepted == before.accepted
    assert used.account().count.deferred >= before.deferred
    assert used.account().differences == ()
    assert '"fate": "deferred"' in say("why", "half.png", "--json").out


def test_verify_rebuild_upgrades_an_older_ledger_and_replaces_a_lost_one(used: Desk, say: Say) -> None:
    make_older(used.settings.ledger, OLDER)

    kept = say("verify", "--rebuild", "--json")
    assert (kept.code, kept.json["count"]["deferred"], version_of(used.settings.ledger)) == (0, 1, migrations.VERSION)

    for file in used.settings.ledger.parent.iterdir():
        file.unlink()
    lost = say("verify", "--rebuild", "--json")
    assert (lost.code, lost.json["count"]["deferred"], version_of(used.settings.ledger)) == (0, 0, migrations.VERSION)
    assert lost.json["count"]["accepted"] == kept.json["count"]["accepted"]


def test_every_command_names_the_way_back_from_a_newer_ledger(used: Desk, say: Say) -> None:
    with closing(sqlite3.connect(used.settings.ledger)) as db:
        db.execute("PRAGMA user_version = 99")

    for opened in (Ledger.open, Ledger.for_notes):
        with pytest.raises(EnvironmentFailure, match="a newer digitrec") as why:
            opened(used.settings.ledger)
        assert "go back with the copy" in why.value.hint

    for command in ("verify", "doctor"):
        assert "go back with the copy" in say(command).out
