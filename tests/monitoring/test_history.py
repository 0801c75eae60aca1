"""History of a file, by path, name, digest or row."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from digitrec.monitoring.history import FileHistory, trace_file
from digitrec.pipeline.ledgers import open_ledgers
from tests.conftest import RunCommand, ServiceHarness, draw

pytestmark = pytest.mark.slow


def ask(harness: ServiceHarness, given: str, later_s: float = 0.0) -> FileHistory:
    with open_ledgers(harness.settings) as ledgers:
        return trace_file(given, harness.settings, ledgers, time.time() + later_s)


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Workspace with three files read: two with the same bytes, one invalid."""
    harness.drop("monday/7.png", draw(7))
    harness.drop("tuesday/7.png", draw(7))
    harness.drop("=bad\n.png", b"no picture")
    harness.run()
    return harness


def row_of(harness: ServiceHarness, file: str) -> dict[str, str]:
    return next(row for row in harness.rows() if row["file"] == file)


@pytest.mark.parametrize(
    "given",
    [
        "=bad\n.png",
        "=bad%0A.png",
        "'=bad%0A.png",
        hashlib.sha256(b"no picture").hexdigest(),
        hashlib.sha256(b"no picture").hexdigest()[:8],
        "{row}",
        "{place}",
        "{workspace}/{place}",
        "{workspace}/inbox/=bad\n.png",
    ],
)
def test_a_file_can_be_queried_by_path_name_digest_row_and_location(read: ServiceHarness, given: str) -> None:
    row = row_of(read, "'=bad%0A.png")
    place = f"outbox/rejected/{row['batch_id']}/=bad\n.png"

    story = ask(read, given.format(row=f"{row['batch_id']}/{row['row']}", place=place, workspace=read.root))

    (event,) = story.events
    assert (event.file, event.outcome, event.stage) == ("=bad%0A.png", "rejected", "closed")
    (answer,) = event.answers
    assert (answer.reason_code, answer.reason) == ("not_an_image", row["reason"])
    assert (event.original, event.has_original) == (place.replace("\n", "%0A"), True)
    assert event.reason_file == place.replace("\n", "%0A") + ".reason.json"
    assert story.entries == ()


def test_a_bare_name_matches_all_folders_and_a_path_a_single_file(read: ServiceHarness) -> None:
    assert [event.file for event in ask(read, "7.png").events] == ["monday/7.png", "tuesday/7.png"]
    assert [event.file for event in ask(read, "tuesday/7.png").events] == ["tuesday/7.png"]
    assert ask(read, "day/7.png").events == ()


def test_rows_with_the_same_bytes_name_the_other_rows(read: ServiceHarness) -> None:
    first, second = (row_of(read, f"{day}/7.png") for day in ("monday", "tuesday"))
    names = [f"{row['batch_id']}/{row['row']}" for row in (first, second)]

    (first,), (second,) = (ask(read, f"{day}/7.png").events for day in ("monday", "tuesday"))

    assert (first.answers[0].duplicate_of, first.answers[0].same_bytes) == ("", (names[1],))
    assert (second.answers[0].duplicate_of, second.answers[0].same_bytes) == (names[0], (names[0],))


def test_why_accepts_a_name_relative_to_the_current_folder(
    read: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(read, "monday/7.png")
    monkeypatch.chdir(read.outbox / "done" / row["batch_id"])

    assert [event.file for event in ask(read, "monday/7.png").events] == ["monday/7.png"]
    assert [event.file for event in ask(read, "./tuesday/../monday/7.png").events] == ["monday/7.png"]


def test_a_removed_original_is_reported_missing(read: ServiceHarness, run_command: RunCommand) -> None:
    row = row_of(read, "monday/7.png")
    (read.outbox / "done" / row["batch_id"] / "monday" / "7.png").unlink()

    assert "(MISSING)" in run_command("why", "monday/7.png").out


def test_why_shows_reason_and_next_attempt_of_a_deferred_file(harness: ServiceHarness) -> None:
    harness.now_s = time.time()
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)

    story = ask(harness, "half.png", later_s=10)

    assert [(event.outcome, event.original) for event in story.events] == [("deferred", "inbox/half.png")]
    assert story.events[0].why
    (entry,) = story.entries
    assert entry.why.startswith("deferred: ")
    assert entry.why.endswith(("20 s left", "19 s left"))


def test_why_shows_what_a_waiting_file_waits_for(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.drop("empty.png", b"")
    harness.drop("a/7.png.part")
    harness.drop(".hidden/8.png")
    (harness.inbox / "link.png").symlink_to(harness.inbox / "7.png")
    (harness.root / "elsewhere").mkdir()
    (harness.inbox / "linked").symlink_to(harness.root / "elsewhere")
    os.mkfifo(harness.inbox / "pipe.png")
    harness.drop("labels.csv", b"file,label\n7.png,7\n")

    def reason_of(given: str, later_s: float = 0.0) -> str:
        (entry,) = ask(harness, given, later_s).entries
        return entry.why

    assert reason_of("7.png") == "it changed just now and may not be complete; 2 s left"
    assert reason_of("7.png", later_s=5) == "it waits to be read"
    assert reason_of("empty.png").startswith("it is empty and may still be filled; 600 s left")
    assert reason_of("a/7.png.part").endswith("(7.png.part)")
    assert reason_of("8.png").endswith("(.hidden)")
    assert reason_of("link.png") == "is a link"
    assert reason_of("linked") == "is a link"
    assert reason_of("pipe.png") == "is a pipe"
    assert reason_of("labels.csv").startswith("it is a labels file")


def test_why_shows_a_claimed_file_with_and_without_a_ledger(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    harness.drop("7.png")
    with monkeypatch.context() as patch:
        patch.setattr("digitrec.pipeline.batch.read_files.read_chunk", cut)
        with pytest.raises(PowerCut):
            harness.run()
    theirs = harness.inbox / ".claimed" / "other" / "20260102T030405Z-00000000" / "8.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(draw(8))

    (event,) = ask(harness, "7.png").events
    assert (event.stage, event.outcome, event.original) == ("reading", "", "")
    assert ask(harness, "7.png").entries == ()
    (entry,) = ask(harness, str(theirs)).entries
    assert entry.why.startswith("claimed by worker other in batch 20260102T030405Z-00000000")


def test_why_prints_the_history_as_text_and_as_json(read: ServiceHarness, run_command: RunCommand) -> None:
    row = row_of(read, "tuesday/7.png")

    result = run_command("why", "tuesday/7.png")

    assert result.code == 0
    assert f"row       {row['batch_id']}/{row['row']}, page 1: {row['status']}" in result.out
    assert "which came first" in result.out
    assert f"original  outbox/done/{row['batch_id']}/tuesday/7.png" in result.out
    (event,) = run_command("why", "tuesday/7.png", "--json").json["events"]
    assert event["answers"][0]["row"] == f"{row['batch_id']}/{row['row']}"


def test_why_shows_the_corrections_of_an_answer(read: ServiceHarness, run_command: RunCommand, tmp_path: Path) -> None:
    for label in ("7", "none"):
        (tmp_path / "said.csv").write_text(f"file,label\ntuesday/7.png,{label}\n")
        assert run_command("apply", str(tmp_path / "said.csv"), "--reviewer", "ann").code == 0

    first, last = run_command("why", "tuesday/7.png").out.splitlines()[-3:-1]

    assert first.startswith("  confirmed ")
    assert first.endswith(" by ann: 7")
    assert last.startswith("  corrected ")
    assert last.endswith(" by ann: none")
    verdicts = run_command("why", "tuesday/7.png", "--json").json["events"][0]["answers"][0]["said"]
    assert [(verdict["old"], verdict["new"], verdict["who"]) for verdict in verdicts] == [
        ("7", "7", "ann"),
        ("7", "none", "ann"),
    ]


@pytest.mark.parametrize("given", ["nothing.png", "20260102T030405Z-00000000/1", "deadbeef", "%00.png", "..", "/"])
def test_why_reports_an_unknown_file(read: ServiceHarness, run_command: RunCommand, given: str) -> None:
    result = run_command("why", given)

    assert result.code == 2
    assert "nothing is known of" in result.err
    assert run_command("why", given, "--json").json == {"events": [], "lying": []}


def test_hostile_names_are_harmless_on_the_terminal(harness: ServiceHarness, run_command: RunCommand) -> None:
    name = "\x1b[31m\u202egnp.7\udcff"
    harness.drop(name, draw(7))
    harness.run()

    result = run_command("why", name)

    assert result.code == 0
    assert result.out.isprintable() or set(filter(lambda letter: not letter.isprintable(), result.out)) == {"\n"}


def test_an_inbox_reached_through_a_link_is_the_inbox(read: ServiceHarness, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(read.outbox)
    row = row_of(read, "monday/7.png")

    story = ask(read, str(tmp_path / "shortcut" / "done" / row["batch_id"] / "monday" / "7.png"))

    assert [event.file for event in story.events] == ["monday/7.png"]


@pytest.mark.parametrize(
    "given", ["tues", "TUESDAY", "day/BAD", "{digest}", "{digest_upper}"], ids=["part", "case", "none", "hash", "HASH"]
)
def test_why_finds_one_file_by_a_part_of_its_name_or_the_start_of_its_hash(read: ServiceHarness, given: str) -> None:
    digest = hashlib.sha256(b"no picture").hexdigest()[:4]

    story = ask(read, given.format(digest=digest, digest_upper=digest.upper()))

    expected = {"day/BAD": []}.get(given, ["=bad%0A.png" if "digest" in given else "tuesday/7.png"])
    assert [event.file for event in story.events] == expected
    assert story.candidates == ()


def test_why_lists_the_files_that_a_part_of_a_name_matches(read: ServiceHarness, run_command: RunCommand) -> None:
    read.drop("wednesday/new.png")

    result = run_command("why", "day/")

    assert result.code == 2
    assert result.out.splitlines() == ["monday/7.png", "tuesday/7.png", "wednesday/new.png"]
    assert "3 files match day/" in result.err
    answer = run_command("why", "day/", "--json").json
    assert answer == {"events": [], "lying": [], "candidates": result.out.splitlines()}
    assert run_command("why", "NEW").out.startswith("inbox/wednesday/new.png\n  waiting")
