"""What the benchmark measures with can be trusted: pairs, spread, costs, stages, drawn sets."""

import doctest
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import drawing, figures, kinds, measuring, process, sets, tables
from benchmarks.figures import Figure, Results, Taken
from benchmarks.kinds import DIGITS, PHOTOS, SCANS, SHEETS, STRIPS
from digitrec.training.datasets.dataset import make_split


@pytest.mark.parametrize("module", [figures, kinds, measuring, tables], ids=lambda module: module.__name__)
def test_the_examples_of_the_bench_hold(module: object) -> None:
    tried = doctest.testmod(module, extraglobs={"Figure": Figure})  # type: ignore[arg-type]

    assert tried.attempted
    assert not tried.failed


def test_a_figure_is_the_median_of_its_pairs_with_their_spread() -> None:
    figure = Figure("digits_floor", "", "x", figures.ratios([6.0, 20.0, 9.0], [2.0, 2.0, 3.0]))

    assert figure.values == (3.0, 10.0, 3.0)
    assert (figure.median, figure.spread) == (3.0, (3.0, 10.0))
    with pytest.raises(ValueError, match="never measured"):
        Figure("digits_floor", "the floor", "x", ())


def test_what_was_measured_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    results = example_results()

    results.write(tmp_path / "results.json")

    assert Results.read(tmp_path / "results.json") == results


def test_the_table_shows_targets_reached_and_missed() -> None:
    table = tables.markdown(example_results()).splitlines()

    assert "| run on an empty inbox | 0.35 CPU s | 0.15 CPU s | 0.20 (0.10 to 0.30) CPU s | at least |" in table
    assert "| two cores | 1.6 x | 1.8 x | 1.20 x | missed |" in table
    assert any(line.startswith("| paper scans") for line in table)
    assert table[-1] == "a note"


def test_every_target_gets_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing.write(DIGITS, 2, tmp_path / "set", "mnist-5k")
    harness = measuring.Bench(sets.Store(tmp_path, "mnist-5k"), pairs=2, scale=0.001, growth=(2, 3), model=None)
    run = measuring.Once(process.Cost(2.0, 1.0, 90.0), 1.0, 1.0, 2)
    monkeypatch.setattr(sets.Store, "get", lambda _, kind, count: sets.PictureSet(kind, tmp_path / "set", 2))
    for name in ("_once", "_run"):
        monkeypatch.setattr(measuring, name, lambda *_, **__: run)
    more = measuring.Once(process.Cost(3.0, 2.0, 95.0), 3.0, 2.0, 1)
    monkeypatch.setattr(measuring, "_cold", lambda _, __, count: more if count > 1 else run)
    monkeypatch.setattr(process, "cores", lambda: 2)
    monkeypatch.setattr(process, "run", lambda *_, **__: (run.total, ""))
    monkeypatch.setattr(process, "idle", lambda *_, windows, **__: [0.001] * windows)

    for measure in bench.SECTIONS.values():
        measure(harness)

    values = [figure.key for figure in harness.results.figures]
    assert figures.TARGETS.keys() <= set(values)
    assert len(values) == len(set(values))


@pytest.mark.parametrize(("count", "cpu_s"), [(1_000, 3.0), (1_001, 5.0)])
def test_short_runs_are_measured_by_their_median(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, cpu_s: float
) -> None:
    took_s = iter([5.0, 3.0, 1.0, 9.0, 2.0])

    def once(cpu_s: float) -> measuring.Once:
        return measuring.Once(process.Cost(cpu_s, 10 - cpu_s, 90.0), cpu_s, 10 - cpu_s, 2)

    monkeypatch.setattr(measuring, "_cold", lambda *_: once(next(took_s)))
    harness = measuring.Bench(sets.Store(tmp_path, "mnist-5k"), pairs=2, scale=0.001, growth=(2, 3), model=None)

    values = measuring._typical(harness, sets.PictureSet(DIGITS, tmp_path, count), count)

    assert (values.total.cpu_s, values.total.wall_s) == (cpu_s, 10 - cpu_s)


@pytest.mark.parametrize(
    ("kind", "suffix", "sides"),
    [
        (DIGITS, ".png", {28}),
        (SCANS, ".jpg", set()),
        pytest.param(SHEETS, ".jpg", {2480, 3508}, marks=pytest.mark.slow),
        pytest.param(PHOTOS, ".jpg", {3024, 4032}, marks=pytest.mark.slow),
        pytest.param(STRIPS, ".jpg", {144, 1430}, marks=pytest.mark.slow),
    ],
)
def test_a_drawn_set_holds_what_it_says_and_can_be_drawn_again(
    tmp_path: Path, kind: str, suffix: str, sides: set[int]
) -> None:
    drawing.write(kind, 1, tmp_path / "one", "mnist-5k")
    drawing.write(kind, 2, tmp_path / "two", "mnist-5k")

    (alone,) = (tmp_path / "one" / "pictures").iterdir()
    pictures = sorted((tmp_path / "two" / "pictures").iterdir())
    labels = [line.split(",") for line in (tmp_path / "two" / "labels.csv").read_text().splitlines()]
    assert pictures[0].read_bytes() == alone.read_bytes() != pictures[1].read_bytes()
    assert [name for name, _ in labels] == [path.name for path in pictures] == [f"000000{suffix}", f"000001{suffix}"]
    assert all(text.replace(" ", "").isdigit() for _, text in labels)
    picture = cv2.imread(str(alone))
    assert picture is not None
    assert set(picture.shape[:2]) == sides or (
        not sides and min(picture.shape[:2]) >= 60 and max(picture.shape[:2]) <= 400
    )


def test_digits_that_come_again_are_files_with_other_bytes() -> None:
    digits = make_split("all", np.zeros((2, 28, 28), np.uint8), [0, 1])

    drawn = {
        drawing.DRAWERS[DIGITS](digits, number, np.random.default_rng(0)).content for number in range(1, 2 * 60, 2)
    }

    assert len(drawn) == 60


def test_a_run_that_published_too_little_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a.png,7\nb.png,8\n")
    (tmp_path / "outbox").mkdir()
    table = tmp_path / "outbox" / "20260101T000000Z-00000000.csv"
    pictures = sets.PictureSet(DIGITS, tmp_path, 2)

    table.write_text("file,status,text\r\na.png,accepted,7\r\n")
    with pytest.raises(process.CommandFailed, match="2 pictures were in the inbox, and 1 rows"):
        sets.answers(tmp_path, pictures)
    table.write_text("file,status,text\r\na.png,accepted,7\r\nb.png,review,3\r\n")
    assert sets.answers(tmp_path, pictures) == sets.Answers(rows=2, accepted=1, right=1)


@pytest.mark.slow
def test_the_measuring_process_imports_nothing_large() -> None:
    program = "import sys; import benchmarks.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=process.ROOT, timeout=60
    )

    assert not {"numpy", "cv2", "keras", "tensorflow"} & set(done.stdout.split())


@pytest.mark.slow
def test_the_cost_of_a_command_holds_that_of_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    cost, printed = process.run(
        process.python("-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('done')")
    )

    assert cost.cpu_s >= 0.2
    assert cost.peak_mb > 1
    assert printed == "done\n"


def test_a_failed_command_is_reported_with_its_last_output() -> None:
    with pytest.raises(process.CommandFailed, match="ended with 3: out of luck"):
        process.run(process.python("-c", "import sys; sys.stderr.write('out of luck'); sys.exit(3)"))


def test_a_command_is_limited_to_a_core() -> None:
    _, printed = process.run(process.python("-c", "import os; print(len(os.sched_getaffinity(0)))"), cores=1)

    assert printed == "1\n"


@pytest.mark.slow
def test_an_idle_command_costs_no_cpu_and_a_stopped_command_fails() -> None:
    shares = process.idle(process.python("-c", "import time; time.sleep(60)"), warm_s=0.3, window_s=0.05, windows=2)

    assert len(shares) == 2
    assert max(shares) < 0.5
    with pytest.raises(process.CommandFailed):
        process.idle(process.python("-c", ""), warm_s=0.5, window_s=0.05, windows=1)


@pytest.mark.slow
def test_the_benchmark_measures_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--scale", "0.001", "--pairs", "1", "--data", "mnist-5k"]
    options = ["--work", str(tmp_path), "--json", str(tmp_path / "results.json")]

    bench.main([*sizes, *options, "--only", "d", "cores"])
    printed = capsys.readouterr().out
    bench.main(["--markdown", str(tmp_path / "results.json")])
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\nfrom last year\n<!-- /bench -->\nafter\n")
    bench.main(["--markdown", str(tmp_path / "results.json"), "--into", str(page)])

    results = Results.read(tmp_path / "results.json")
    assert {"photos_floor"} <= {figure.key for figure in results.figures}
    assert "(d) CPU of run over cv2.imread" in printed
    assert "| (d) CPU of run over cv2.imread |" in capsys.readouterr().out
    assert not list(tmp_path.glob("workspace-*"))
    assert "| (d) CPU of run over cv2.imread |" in page.read_text()
    assert "last year" not in page.read_text()
    assert page.read_text().endswith("<!-- /bench -->\nafter\n")


def example_results() -> Results:
    about = {"made_at": "today", "machine": "a machine", "cores": 2, "pairs": 3, "scale": None}
    return Results(
        about,
        [
            Figure("cold_0", "run on an empty inbox", "CPU s", (0.1, 0.2, 0.3)),
            Figure("cores", "two cores", "x", (1.2,)),
        ],
        [Taken(SCANS, "digitrec run", 10, (1.0,), (0.5,), (90.0,), "all included")],
        ["a note"],
    )
