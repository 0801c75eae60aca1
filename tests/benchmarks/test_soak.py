"""The harness of the soak is worth something only if it notices what went wrong."""

import doctest
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.soak import __main__ as soak
from benchmarks.soak import account, life, oddities, pool, report
from benchmarks.soak.account import Account, Dropped
from benchmarks.soak.arrivals import Arrivals
from benchmarks.soak.life import ProcessSample
from benchmarks.soak.oddities import OddArrivals
from benchmarks.soak.pool import Sample
from digitrec.images import decode
from digitrec.types import Limits
from tests.conftest import ServiceHarness, draw

SAMPLES = [Sample(".png", draw(digit), 1) for digit in range(10)]


def test_the_examples_of_the_soak_hold() -> None:
    tried = doctest.testmod(report)

    assert tried.attempted
    assert not tried.failed


@pytest.fixture
def arrivals(harness: ServiceHarness) -> Arrivals:
    stage = harness.root / "stage"
    stage.mkdir()
    return OddArrivals(harness.inbox, stage, SAMPLES, seed=3, levels=60, linger_s=0.1)


def held(harness: ServiceHarness, arrivals: Arrivals) -> Account:
    return account.account(arrivals.dropped, harness.outbox)


@pytest.mark.slow
def test_a_working_service_has_a_correct_account(harness: ServiceHarness, arrivals: Arrivals) -> None:
    for manner in ("moved", "written", "part", "folder", "odd", "again", "labelled", "deep"):
        arrivals.arrive(manner, 6)
    arrivals._not_ours()
    harness.run()
    arrivals.arrive("again", 6)
    harness.run()

    result = held(harness, arrivals)

    assert result.is_true, (result.lost, result.doubled, result.wrong)
    assert result.answered + 1 == result.files == result.originals > 36, "the labels file has no row"
    assert sum(map(len, result.latencies_s.values())) == result.answered
    assert all(os.path.lexists(os.path.join(os.fsencode(harness.inbox), path)) for path in arrivals.left_alone)  # noqa: PTH118


def lose_an_original(harness: ServiceHarness) -> None:
    next((harness.outbox / "done").rglob("*.png")).unlink()


def lose_a_row(harness: ServiceHarness) -> None:
    path = harness.tables()[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))


def lose_a_table(harness: ServiceHarness) -> None:
    harness.tables()[0].unlink()


@pytest.mark.slow
@pytest.mark.parametrize("lose", [lose_an_original, lose_a_row, lose_a_table])
def test_what_is_lost_is_noticed(
    harness: ServiceHarness, arrivals: Arrivals, lose: Callable[[ServiceHarness], None]
) -> None:
    arrivals.arrive("moved", 3)
    harness.run()
    assert held(harness, arrivals).is_true

    lose(harness)

    result = held(harness, arrivals)
    assert result.lost
    assert not result.doubled


@pytest.mark.slow
def test_what_is_doubled_is_noticed(harness: ServiceHarness, arrivals: Arrivals) -> None:
    arrivals.arrive("moved", 3)
    harness.run()
    (table,) = harness.tables()
    original = next((harness.outbox / "done").rglob("*.png"))

    original.with_name("again.png").write_bytes(original.read_bytes())
    table.with_name("20990101T000000Z-00000000.csv").write_bytes(table.read_bytes())

    result = held(harness, arrivals)
    assert len([entry for entry in result.doubled if entry.startswith("original")]) == 1
    assert len([entry for entry in result.doubled if entry.startswith("row")]) == 3
    assert not result.lost


@pytest.mark.slow
def test_wrong_bytes_names_pages_and_locations_are_detected(harness: ServiceHarness, arrivals: Arrivals) -> None:
    arrivals.arrive("moved", 4)
    harness.run()
    first, second, third, fourth = arrivals.dropped

    first.sha256 = hashlib.sha256(b"other").hexdigest()
    second.path = b"other.png"
    third.pages = 2
    (batch,) = (harness.outbox / "done").iterdir()
    (harness.outbox / "rejected" / batch.name).mkdir(parents=True)
    (batch / os.fsdecode(fourth.path)).rename(harness.outbox / "rejected" / batch.name / "moved.png")

    result = held(harness, arrivals)
    assert (len(result.lost), len(result.doubled)) == (2, 2), "row and original of the first"
    assert {word for entry in result.wrong for word in ("dropped as", "do not agree", "pages") if word in entry} == {
        "dropped as",
        "do not agree",
        "pages",
    }


def test_a_file_that_still_waits_is_not_lost(harness: ServiceHarness) -> None:
    content = {name: draw(7) + name.encode() for name in ("7.png", "8.png")}
    harness.drop("7.png", content["7.png"])
    harness.run()
    harness.drop("folder/8.png", content["8.png"])
    dropped = [Dropped(name.encode(), hashlib.sha256(data).hexdigest(), 1, "", 0.0) for name, data in content.items()]

    result = account.account(dropped, harness.outbox, harness.inbox)
    (harness.inbox / "folder/8.png").unlink()

    assert (result.waiting, result.lost, result.wrong, result.is_true) == (1, [], [], False)
    assert len(account.account(dropped, harness.outbox, harness.inbox).lost) == 2, "no row and no original"


def test_of_equal_files_the_one_that_waits_is_found_by_its_name(harness: ServiceHarness) -> None:
    harness.drop("late.png")
    harness.run()
    harness.drop("early.png")
    sha256 = hashlib.sha256(draw(7)).hexdigest()
    dropped = [Dropped(b"early.png", sha256, 1, "", 1.0), Dropped(b"late.png", sha256, 1, "", 2.0)]

    result = account.account(dropped, harness.outbox, harness.inbox)

    assert (result.waiting, result.lost, result.doubled, result.wrong) == (1, [], [], [])


def test_a_name_that_was_taken_may_be_numbered(harness: ServiceHarness) -> None:
    harness.drop("7~2.png")
    harness.run()
    dropped = Dropped(b"7.png", hashlib.sha256(draw(7)).hexdigest(), 1, "onto", time.time())

    assert account.account([dropped], harness.outbox).is_true


def test_a_label_that_did_not_reach_its_row_is_noticed(harness: ServiceHarness, arrivals: Arrivals) -> None:
    arrivals.arrive("labelled", 6)
    harness.run()
    assert held(harness, arrivals).is_true

    next(drop_ for drop_ in arrivals.dropped if drop_.label).label = "another"

    assert [entry for entry in held(harness, arrivals).wrong if "is labelled 'another'" in entry]


def test_folders_that_are_deep_are_removed_once_they_are_empty(harness: ServiceHarness, arrivals: Arrivals) -> None:
    arrivals.arrive("deep", 3)
    harness.run()

    until_s = time.monotonic() + 60
    while arrivals.is_busy() and time.monotonic() < until_s:
        arrivals.run_due()
        time.sleep(0.05)

    assert not list(harness.inbox.glob("deep*"))


def test_folders_recreated_for_a_file_are_removed(tmp_path: Path) -> None:
    folders = oddities.nested(os.fsencode(tmp_path / "deep"), 5)
    file = tmp_path / "deep/d/d/7.png"
    file.touch()

    left = oddities.remove_empty(folders)
    assert file.parent.is_dir()
    assert not (file.parent / "d").exists()
    file.unlink()
    (file.parent / "d" / "d").mkdir(parents=True)  # deferred, and claimed again

    assert oddities.remove_empty(left) == []
    assert not (tmp_path / "deep").exists()


@pytest.mark.slow
def test_only_files_changed_before_their_claim_are_not_counted_as_lost(
    harness: ServiceHarness, arrivals: Arrivals
) -> None:
    arrivals.arrive("moved", 5)
    arrivals.arrive("onto", 5)  # onto files that lie there
    assert [drop_.is_withdrawn for drop_ in arrivals.dropped] == [True] * 5 + [False] * 5
    harness.run()
    arrivals.arrive("onto", 5)  # onto names whose files were read
    arrivals.arrive("withdrawn", 4)
    until_s = time.monotonic() + 10
    while arrivals.is_busy() and time.monotonic() < until_s:
        arrivals.run_due()
        time.sleep(0.05)
    harness.run()

    result = held(harness, arrivals)

    assert result.is_true, (result.lost, result.doubled, result.wrong)
    assert (result.withdrawn, result.answered) == (5 + 2, 5 + 5 + 2)


def test_a_row_of_a_file_that_was_withdrawn_is_noticed(harness: ServiceHarness, arrivals: Arrivals) -> None:
    arrivals.arrive("moved", 1)
    harness.run()
    arrivals.dropped[0].is_withdrawn = True

    assert len(held(harness, arrivals).doubled) == 2


@pytest.mark.slow
def test_the_pool_has_every_format_and_variants_read_the_same() -> None:
    drawn = pool.draw(44, seed=5)

    assert drawn == pool.draw(44, seed=5)
    intact = [entry for entry in drawn if entry.is_readable]
    formats = {decode.decode_pages(entry.varied(12_345), Limits())[0] for entry in intact}
    assert formats == {"png", "jpeg", "tiff", "pdf", "heic", "webp", "jpeg2000", "bmp", "gif", "pgm", "ppm", "pbm"}
    assert len({entry.varied(number) for entry in drawn for number in (1, 2)}) == 2 * len(drawn)
    assert len(drawn) - len(intact) == 13


def test_a_process_is_seen_with_its_children_its_memory_and_its_open_files() -> None:
    program = "import subprocess, sys, time; held = open('/dev/null'); print(flush=True); child = subprocess.Popen"
    words = [sys.executable, "-c", f"{program}([sys.executable, '-c', 'import time; time.sleep(60)']); child.wait()"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            until_s = time.monotonic() + 20
            while not (seen := life.sample_process(process.pid)) or (not seen[0] and time.monotonic() < until_s):
                time.sleep(0.02)
            family, (rss_mb, anon_mb, descriptors, threads, children, children_mb) = seen
        finally:
            os.killpg(process.pid, 9)
    assert len(family) == children == 1
    assert 1 < anon_mb < rss_mb
    assert children_mb > 1
    assert descriptors >= 4
    assert threads == 1
    assert life.sample_process(process.pid) is None


def test_a_leak_shows_as_a_slope_and_between_the_quarters() -> None:
    samples = [ProcessSample(at_s, at_s, 100 + at_s / 360, 50, 17, 6, 0, 0, "looking") for at_s in range(0, 3600, 2)]

    result = report.trends(samples)

    assert result["rss_mb"].per_hour == pytest.approx(10)
    assert result["rss_mb"].quarters == pytest.approx((101.25, 103.75, 106.25, 108.75), abs=0.2)
    assert (result["descriptors"].per_hour, result["descriptors"].most) == (0, 17)


def test_warm_up_ends_before_the_third_quarter() -> None:
    samples = [
        ProcessSample(at_s, at_s, min(100.0 + at_s / 10, 200.0), 50, 17, 6, 0, 0, "looking")
        for at_s in range(0, 3600, 2)
    ]

    result = report.trends(samples)

    assert result["rss_mb"].quarters[0] < result["rss_mb"].quarters[1]
    assert (result["rss_mb"].quarters[2:], result["rss_mb"].per_hour) == ((200, 200), 0)


def test_kills_come_in_every_way_within_their_time() -> None:
    rng = random.Random(0)
    plans = [life.kill_plan(rng, 120, 240) for _ in range(200)]

    assert {how for _, how, _ in plans} == {"SIGKILL", "SIGKILL group", "SIGTERM"}
    assert {waits for _, _, waits in plans} == {True, False}
    assert all(120 <= in_s <= 240 for in_s, _, _ in plans)


@pytest.mark.slow
def test_a_short_soak_with_kills_reconciles(tmp_path: Path) -> None:
    manners = {"moved": 2, "written": 2, "part": 1, "folder": 1, "onto": 2, "odd": 1, "labelled": 1, "uploaded": 2}
    options = ("--grace-s", "0.5", "--settle-s", "0.3", "--scan-interval-s", "1")
    # Until it was killed once, however long a busy machine takes to start it.
    plan = soak.Plan(
        1, 3.0, 0.1, 0.7, (1.0, 2.0), kills=1, pool=44, manners=manners, most=12, review_s=0.5, options=options
    )

    result = soak.soak(plan, tmp_path)

    assert soak.is_well(result), result
    assert result["account"]["answered"] > 10
    assert result["lives"] == 2
    assert result["people"]["uploads"] > 0
    assert result["people"]["judged"] > 0
    assert "| **lost** | **0** |" in report.markdown(result)
    assert not soak.is_well(result | {"tracebacks": 1})
    assert not soak.is_well(result | {"people": result["people"] | {"doubled": ["1: entry"]}})
