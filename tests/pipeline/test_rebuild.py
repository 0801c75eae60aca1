"""The ledger made again from the outbox: the same account as before, whatever the originals are called."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import archive, workspace
from digitrec.types import Claim
from tests.conftest import Desk, draw

BATCH = "20260102T030405Z-00000000"


def lose_ledger(desk: Desk) -> None:
    shutil.rmtree(desk.settings.ledger.parent)


def claims(desk: Desk) -> dict[str, Claim]:
    with workspace.all_ledgers(desk.settings) as ledgers:
        ledger = ledgers[desk.settings.worker]
        return {one.path: one for batch in ledger.batches() for one in ledger.claims(batch.id)}


def rebuilt(desk: Desk) -> dict[str, Claim]:
    """The claims of the ledger made again, after they were compared with those of the one that was lost."""
    before = claims(desk)
    lose_ledger(desk)

    desk.run()

    after = claims(desk)
    assert {path: (one.place, one.reason_file) for path, one in after.items()} == {
        path: (one.place, one.reason_file) for path, one in before.items()
    }
    assert desk.account().differences == ()
    return after


def test_a_rejected_file_with_the_longest_name_keeps_its_reason_file(desk: Desk) -> None:
    name = "x" * 251 + ".png"
    desk.drop(name, b"this is no picture")
    desk.run()

    found = rebuilt(desk)

    assert found[name].reason_file.count("/") == 3


def test_an_original_named_like_a_reason_file_is_not_taken_for_one(desk: Desk) -> None:
    desk.drop("x.png", b"this is no picture")
    desk.drop("x.png.reason.json", b'{"batch_id": "another", "row": 1}')
    desk.run()

    found = rebuilt(desk)

    assert found["x.png"].reason_file != found["x.png.reason.json"].place


def test_reason_files_that_bear_digest_and_row_are_found_again(desk: Desk) -> None:
    stem = "x" * 250
    for suffix in (".a", ".b", ".c"):
        desk.drop(stem + suffix, b"the same bytes, no picture")
    desk.run()

    found = rebuilt(desk)

    assert len({one.reason_file for one in found.values()}) == 3


def test_an_original_whose_name_was_refused_is_found_again_by_its_bytes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archive.files.move_across

    def picky(source: Path, target: Path) -> None:
        if ":" in target.name:
            raise OSError(22, "Invalid argument")
        real(source, target)

    desk.drop("a:b.png", draw(7))
    desk.drop("a?b:.png", draw(8))
    desk.drop("a_b.png", draw(9))
    monkeypatch.setattr(archive.files, "move_across", picky)
    desk.run()

    found = rebuilt(desk)

    assert len({one.place for one in found.values()}) == 3


def altered(desk: Desk, old: str, new: str) -> Path:
    (table,) = desk.tables()
    table.write_bytes(table.read_bytes().replace(old.encode(), new.encode(), 1))
    return table


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["no rows", "short line", "long line", "other batch", "other text", "huge", "twice"])
def test_an_unreadable_table_is_an_environment_failure_that_names_it(desk: Desk, damage: str) -> None:
    desk.drop("7.png")
    desk.run()
    (table,) = desk.tables()
    with table.open(encoding="utf-8", newline="") as file:
        header, line = csv.reader(file)
    lines = {
        "no rows": [],
        "short line": [line[:9]],
        "long line": [[*line, "more"]],
        "other batch": [[BATCH if name == "batch_id" else cell for name, cell in zip(header, line, strict=True)]],
        "other text": [["x" if name == "text" else cell for name, cell in zip(header, line, strict=True)]],
        "huge": [["9" * 30 if name == "size_bytes" else cell for name, cell in zip(header, line, strict=True)]],
        "twice": [line, line],
    }[damage]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    lose_ledger(desk)

    with pytest.raises(EnvironmentFailure, match=f"{table.name} cannot be understood"):
        desk.run()


def test_verify_reports_a_missing_reason_file_after_a_rebuild(desk: Desk) -> None:
    desk.drop("bad.png", b"this is no picture")
    desk.run()
    (reason,) = desk.outbox.glob("rejected/*/bad.png.reason.json")
    told = json.loads(reason.read_bytes())
    reason.write_text(json.dumps(told | {"row": told["row"] + 1}))
    lose_ledger(desk)

    desk.run()

    assert any("reason file" in one for one in desk.account().differences)
    assert os.path.lexists(reason)
