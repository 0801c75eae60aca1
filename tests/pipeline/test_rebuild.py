"""Rebuild the ledger from the outbox, with originals of any name."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import archive
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage.claims import Claim
from tests.conftest import ServiceHarness, draw

BATCH = "20260102T030405Z-00000000"


def lose_ledger(harness: ServiceHarness) -> None:
    shutil.rmtree(harness.settings.ledger.parent)


def claims(harness: ServiceHarness) -> dict[str, Claim]:
    with open_ledgers(harness.settings) as ledgers:
        ledger = ledgers[harness.settings.worker]
        return {claim.path: claim for batch in ledger.batches() for claim in ledger.claims(batch.id)}


def rebuilt(harness: ServiceHarness) -> dict[str, Claim]:
    """Return the claims of the rebuilt ledger, after a comparison with those of the lost one."""
    before = claims(harness)
    lose_ledger(harness)

    harness.run()

    after = claims(harness)
    assert {path: (claim.location, claim.reason_file) for path, claim in after.items()} == {
        path: (claim.location, claim.reason_file) for path, claim in before.items()
    }
    assert harness.account().discrepancies == ()
    return after


def test_a_rejected_file_with_the_longest_name_keeps_its_reason_file(harness: ServiceHarness) -> None:
    name = "x" * 251 + ".png"
    harness.drop(name, b"this is no picture")
    harness.run()

    claims = rebuilt(harness)

    assert claims[name].reason_file.count("/") == 3


def test_originals_named_like_reason_files_are_originals(harness: ServiceHarness) -> None:
    harness.drop("x.png", b"this is no picture")
    harness.drop("x.png.reason.json", b'{"batch_id": "another", "row": 1}')
    harness.run()

    claims = rebuilt(harness)

    assert claims["x.png"].reason_file != claims["x.png.reason.json"].location


def test_reason_files_named_by_digest_and_row_are_matched(harness: ServiceHarness) -> None:
    stem = "x" * 250
    for suffix in (".a", ".b", ".c"):
        harness.drop(stem + suffix, b"the same bytes, no picture")
    harness.run()

    claims = rebuilt(harness)

    assert len({claim.reason_file for claim in claims.values()}) == 3


def test_originals_with_a_changed_name_are_matched_by_content(
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

    claims = rebuilt(harness)

    assert len({claim.location for claim in claims.values()}) == 3


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
    content = json.loads(reason.read_bytes())
    reason.write_text(json.dumps(content | {"row": content["row"] + 1}))
    lose_ledger(harness)

    harness.run()

    assert any("reason file" in line for line in harness.account().discrepancies)
    assert os.path.lexists(reason)
