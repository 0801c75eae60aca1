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
from tests.conftest import ServiceHarness, draw

BATCH = "20260102T030405Z-00000000"


def lose_ledger(harness: ServiceHarness) -> None:
    shutil.rmtree(harness.settings.ledger.parent)


def claims(harness: ServiceHarness) -> dict[str, Claim]:
    with workspace.open_ledgers_readonly(harness.settings) as ledgers:
        ledger = ledgers[harness.settings.worker]
        return {one.path: one for batch in ledger.batches() for one in ledger.claims(batch.id)}


def rebuilt(harness: ServiceHarness) -> dict[str, Claim]:
    """The claims of the ledger made again, after they were compared with those of the one that was lost."""
    before = claims(harness)
    lose_ledger(harness)

    harness.run()

    after = claims(harness)
    assert {path: (one.location, one.reason_file) for path, one in after.items()} == {
        path: (one.location, one.reason_file) for path, one in before.items()
    }
    assert harness.account().discrepancies == ()
    return after


def test_a_rejected_file_with_the_longest_name_keeps_its_reason_file(harness: ServiceHarness) -> None:
    name = "x" * 251 + ".png"
    harness.drop(name, b"this is no picture")
    harness.run()

    found = rebuilt(harness)

    assert found[name].reason_file.count("/") == 3


def test_an_original_named_like_a_reason_file_is_not_taken_for_one(harness: ServiceHarness) -> None:
    harness.drop("x.png", b"this is no picture")
    harness.drop("x.png.reason.json", b'{"batch_id": "another", "row": 1}')
    harness.run()

    found = rebuilt(harness)

    assert found["x.png"].reason_file != found["x.png.reason.json"].location


def test_reason_files_that_bear_digest_and_row_are_found_again(harness: ServiceHarness) -> None:
    stem = "x" * 250
    for suffix in (".a", ".b", ".c"):
        harness.drop(stem + suffix, b"the same bytes, no picture")
    harness.run()

    found = rebuilt(harness)

    assert len({one.reason_file for one in found.values()}) == 3


def test_an_original_whose_name_was_refused_is_found_again_by_its_bytes(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archive.files.move_durable

    def picky(source: Path, target: Path) -> None:
        if ":" in target.name:
            raise OSError(22, "Invalid argument")
        real(source, target)

    harness.drop("a:b.png", draw(7))
    harness.drop("a?b:.png", draw(8))
    harness.drop("a_b.png", draw(9))
    monkeypatch.setattr(archive.files, "move_durable", picky)
    harness.run()

    found = rebuilt(harness)

    assert len({one.location for one in found.values()}) == 3


def altered(harness: ServiceHarness, old: str, new: str) -> Path:
    (table,) = harness.tables()
    table.write_bytes(table.read_bytes().replace(old.encode(), new.encode(), 1))
    return table


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["no rows", "short line", "long line", "other batch", "other text", "huge", "twice"])
def test_an_unreadable_table_is_an_environment_failure_that_names_it(harness: ServiceHarness, damage: str) -> None:
    harness.drop("7.png")
    harness.run()
    (table,) = harness.tables()
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
    lose_ledger(harness)

    with pytest.raises(EnvironmentFailure, match=f"{table.name} cannot be understood"):
        harness.run()


def test_verify_reports_a_missing_reason_file_after_a_rebuild(harness: ServiceHarness) -> None:
    harness.drop("bad.png", b"this is no picture")
    harness.run()
    (reason,) = harness.outbox.glob("rejected/*/bad.png.reason.json")
    told = json.loads(reason.read_bytes())
    reason.write_text(json.dumps(told | {"row": told["row"] + 1}))
    lose_ledger(harness)

    harness.run()

    assert any("reason file" in one for one in harness.account().discrepancies)
    assert os.path.lexists(reason)
