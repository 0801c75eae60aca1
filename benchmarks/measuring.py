"""What is measured, a function a section. Whatever is compared is run in turn, on the same files, in pairs."""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks import process, sets
from benchmarks.figures import Figure, Results, Taken, ratios
from benchmarks.kinds import DIGITS, KINDS, PHOTOS, SCANS, SHEETS, STRIPS, TABLES
from benchmarks.process import Cost, python
from benchmarks.sets import PictureSet, Store

T = TypeVar("T")

RUN, DECODE, MOVES, TUTORIAL, BATCHES, PARTS = "run", "decode", "moves", "tutorial", "batches", "parts"
NAMES = {
    RUN: "digitrec run",
    DECODE: "cv2.imread",
    MOVES: "cv2.imread, two renames",
    TUTORIAL: "Keras, a predict a file",
    BATCHES: "Keras in batches",
    PARTS: "decoding and the networks' calls",
}
RIVALS: Mapping[str, Sequence[str]] = {
    DIGITS: (MOVES, DECODE, TUTORIAL, BATCHES),
    SCANS: (DECODE, PARTS, TUTORIAL, BATCHES),
    SHEETS: (DECODE,),
    PHOTOS: (DECODE,),
}
_SAMPLE = 100
"""The tutorial program is measured on so many files; what a file takes does not depend on their number."""
_WARM_S, _WINDOW_S = 8.0, 10.0
_LIBRARIES = "import numpy, cv2"
"""A program that only loads the libraries; the start of a run is held against it."""
_MIX: Mapping[str, tuple[int, int]] = {
    DIGITS: (4_000, 4_000),
    SCANS: (1_600, 1_600),
    SHEETS: (200, 10),
    PHOTOS: (100, 10),
    TABLES: (100, 10),
}
"""Files of each kind in the mix of 6,000, and how many of them are drawn: these come again under other names."""
_SHORT_FILES, _SHORT_RUNS = 1_000, 5
"""Runs on no more files than this are measured so often in each round, where they are compared with long ones."""


@dataclass(frozen=True, slots=True)
class Once:
    """One program, once. `work` excludes its start, where that was measured."""

    total: Cost
    work_cpu_s: float
    work_wall_s: float
    files: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What all sections need."""

    store: Store
    pairs: int
    scale: float | None
    """Share of the full sizes; None: the usual ones."""
    growth: tuple[int, ...]
    """How many files the growth is measured at, ascending."""
    model: str | None
    results: Results = field(default_factory=Results)

    def pictures(self, kind: str) -> PictureSet:
        """The set of a kind, at this scale."""
        count = KINDS[kind].count(self.scale)
        if kind == DIGITS:  # one set is drawn for everything that takes digits
            return self.store.get(DIGITS, max(count, *self.growth)).first(count)
        return self.store.get(kind, count)

    def command(self, verb: str, workspace: Path) -> list[str]:
        """A command line of ours; files count as complete at the first look."""
        model = ["--model", self.model] if self.model else []
        return python("-m", "digitrec", verb, "--workspace", str(workspace), "--settle-s", "0", *model)

    def figure(self, key: str, label: str, unit: str, values: Iterable[float]) -> None:
        """Note a figure, and say it."""
        measured = Figure(key, label, unit, tuple(values))
        self.results.figures.append(measured)
        say(f"  {label}: {measured.median:.3g} {unit}")

    def note(self, text: str) -> None:
        """Note what a reader has to know."""
        self.results.notes.append(text)


def say(text: str) -> None:
    """Print progress to stderr; stdout has the tables only."""
    print(text, file=sys.stderr, flush=True)


def in_turn(programs: Sequence[str], pairs: int, measure: Callable[[str], T]) -> dict[str, list[T]]:
    """Measure each program once in each round; every other round goes backwards.

    >>> order = []
    >>> _ = in_turn(["a", "b"], 2, lambda name: order.append(name))
    >>> order
    ['a', 'b', 'b', 'a']
    """
    runs: dict[str, list[T]] = {name: [] for name in programs}
    for pair in range(pairs):
        for name in programs if pair % 2 == 0 else reversed(programs):
            runs[name].append(measure(name))
    return runs


def throughput(bench: Bench, kind: str) -> None:
    """One kind of pictures: `digitrec run` against its rivals."""
    pictures = bench.pictures(kind)
    say(f"{KINDS[kind].name}: {pictures.count:,} files")
    bench.results.about.setdefault("sets", {})[kind] = {
        "files": pictures.count,
        "mb": round(pictures.size_mb, 1),
        "source": pictures.source,
    }
    runs = in_turn([RUN, *RIVALS[kind]], bench.pairs, lambda who: _once(bench, who, pictures))
    for who, all_of_it in runs.items():
        bench.results.taken += _taken(kind, who, pictures.count, all_of_it)
    ours = [run.total.cpu_s for run in runs[RUN]]
    letter = KINDS[kind].letter
    floor = RIVALS[kind][0]
    key = f"{kind}_floor" if kind != SCANS else "scans_decode"
    label = f"({letter}) CPU of run over {NAMES[floor]}"
    bench.figure(key, label, "x", ratios(ours, [run.work_cpu_s for run in runs[floor]]))
    if kind == SCANS:
        per_1000 = (1000 * cpu_s / pictures.count for cpu_s in ours)
        bench.figure("scans_cpu", f"({letter}) CPU seconds for 1000 scans, all included", "s", per_1000)
        parts = ratios(ours, [run.work_cpu_s for run in runs[PARTS]])
        bench.figure("scans_parts", f"({letter}) CPU of run over {NAMES[PARTS]}", "x", parts)
    for rival in [run for run in (TUTORIAL, BATCHES) if run in runs]:
        theirs = [_extrapolate_cpu_s(run, pictures.count) for run in runs[rival]]
        bench.figure(f"{kind}_{rival}", f"({letter}) CPU of {NAMES[rival]} over run", "x", ratios(theirs, ours))


def cores(bench: Bench) -> None:
    """Throughput on scans with two cores over one."""
    if process.cores() < 2:
        bench.note("Two cores over one were not measured: there is one.")
        return
    pictures = bench.pictures(SCANS)
    say(f"Two cores over one: {pictures.count:,} scans")
    runs = in_turn(["1", "2"], bench.pairs, lambda count: _run(bench, pictures, cores=int(count)))
    walls = {count: [run.total.wall_s for run in runs[count]] for count in runs}
    bench.figure("cores", "(b) throughput, two cores over one", "x", ratios(walls["1"], walls["2"]))


def cold(bench: Bench) -> None:
    """A process that reads 0, 1 and 100 files, in a workspace that is there already."""
    pictures = bench.pictures(SCANS)
    counts = [0, 1, min(100, pictures.count)]
    say(f"Cold start: {', '.join(map(str, counts))} files")

    def cold_run(count: int) -> Once:
        return _cold(bench, pictures, count)

    programs = [_LIBRARIES, *map(str, counts)]
    runs = in_turn(programs, bench.pairs, lambda who: _libraries() if who == _LIBRARIES else cold_run(int(who)))
    libraries = [run.total.cpu_s for run in runs[_LIBRARIES]]
    for count, words in zip(counts, ("an empty inbox", "one picture", f"{counts[-1]} pictures"), strict=True):
        all_of_it = runs[str(count)]
        cpu_s = [run.total.cpu_s for run in all_of_it]
        bench.figure(f"cold_{count}", f"run on {words}", "CPU s", cpu_s)
        bench.figure(f"start_{count}", f"run on {words}, CPU over `{_LIBRARIES}`", "x", ratios(cpu_s, libraries))
        bench.results.taken += _taken(SCANS, RUN, count, all_of_it)


def numbers(bench: Bench) -> None:
    """A page of many numbers, and a row of some, over what it takes to load the libraries; the start is left out."""
    for kind in (TABLES, STRIPS):
        pictures = bench.pictures(kind)
        say(f"{KINDS[kind].name}: {pictures.count:,} files")
        programs = [_LIBRARIES, "1", str(pictures.count)]

        def measure(who: str, pictures: PictureSet = pictures) -> Once:
            return _libraries() if who == _LIBRARIES else _cold(bench, pictures, int(who))

        runs = in_turn(programs, bench.pairs, measure)
        libraries, single, many = ([run.total.cpu_s for run in runs[who]] for who in programs)
        per_file = [(all_s - single_s) / (pictures.count - 1) for all_s, single_s in zip(many, single, strict=True)]
        label = f"({KINDS[kind].letter}) CPU of a file, start left out, over `{_LIBRARIES}`"
        bench.figure(f"{kind}_file", label, "x", ratios(per_file, libraries))
        bench.results.taken += _taken(kind, RUN, pictures.count, runs[programs[2]])


def mixed(bench: Bench) -> None:
    """Peak memory of a run on files of all kinds and sizes."""
    share = min(1.0, bench.scale or 0.1)
    files: dict[str, Path] = {}
    for kind, (most, drawn) in _MIX.items():
        count = max(1, round(share * most))
        pictures = bench.store.get(kind, min(count, drawn)).files
        files |= {f"{kind}-{index:05}{pictures[0].suffix}": pictures[index % len(pictures)] for index in range(count)}
    say(f"Mixed: {len(files):,} files")

    def measure() -> float:
        with bench.store.workspace() as workspace:
            for name, path in files.items():
                (workspace / "inbox" / name).hardlink_to(path)
            return process.run(bench.command("run", workspace))[0].peak_mb

    bench.figure(
        "mixed_peak", f"peak memory, {len(files):,} mixed files", "MB", (measure() for _ in range(bench.pairs))
    )


def growth(bench: Bench) -> None:
    """Time for a file where there are many, over that where there are few; and the memory it takes."""
    pictures = bench.store.get(DIGITS, max(bench.growth[-1], KINDS[DIGITS].count(bench.scale)))
    few, many = bench.growth[0], bench.growth[-1]
    say(f"Growth: {', '.join(f'{count:,}' for count in bench.growth)} files")
    counts = [1, *bench.growth]
    runs = in_turn([*map(str, counts)], bench.pairs, lambda count: _typical(bench, pictures, int(count)))
    for count in bench.growth:
        bench.results.taken += _taken(DIGITS, RUN, count, runs[str(count)])
    for unit in ("CPU", "wall"):
        # The start, which does not grow, would make few files look dear.
        start = _seconds(runs["1"], unit)
        per_file_s = {
            count: [
                (took_s - start_s) / (count - 1)
                for took_s, start_s in zip(_seconds(runs[str(count)], unit), start, strict=True)
            ]
            for count in bench.growth
        }
        for count in bench.growth[1:]:
            key = ("growth" if unit == "CPU" else "growth_wall") + ("" if count == many else f"_{count}")
            label = f"{unit} a file at {count:,} files over that at {few:,}"
            bench.figure(key, label, "x", ratios(per_file_s[count], per_file_s[few]))
    bench.figure("peak", f"peak memory at {many:,} files", "MB", (run.total.peak_mb for run in runs[str(many)]))


def idle(bench: Bench) -> None:
    """`watch` over an inbox in which nothing happens."""
    windows = max(3, bench.pairs)
    say(f"Idle watch: {windows} times {_WINDOW_S:g} s")
    with bench.store.workspace() as workspace:
        process.run(bench.command("run", workspace))
        words = bench.command("watch", workspace)
        shares = process.idle(words, warm_s=_WARM_S, window_s=_WINDOW_S, windows=windows)
    bench.figure("idle", "watch, inbox empty, share of a core", "%", (100 * share for share in shares))


def _once(bench: Bench, who: str, pictures: PictureSet) -> Once:
    if who == RUN:
        return _run(bench, pictures)
    if who == MOVES:
        with bench.store.workspace(pictures.files) as workspace:
            return _rival(who, workspace, pictures.count)
    network = bench.store.work / "tutorial.keras"
    if who in {TUTORIAL, BATCHES} and not network.exists():
        process.run(python("-m", "benchmarks.rivals", "network", str(network.parent)))
    most = min(_SAMPLE, pictures.count) if who == TUTORIAL else pictures.count
    return _rival(who, pictures.folder / "pictures", most, "--network", str(network))


def _rival(who: str, folder: Path, most: int, *more: str) -> Once:
    words = python("-m", "benchmarks.rivals", who, str(folder), "--files", str(most), *more)
    cost, printed = process.run(words)
    result = json.loads(printed)
    return Once(cost, result["cpu_s"], result["wall_s"], result["files"])


def _run(bench: Bench, pictures: PictureSet, *, cores: int | None = None) -> Once:
    with bench.store.workspace(pictures.files) as workspace:
        cost, _ = process.run(bench.command("run", workspace), cores=cores)
        answers = sets.answers(workspace, pictures)
    shares = {"accepted": answers.accepted / answers.rows, "right": answers.right / answers.rows}
    bench.results.about["sets"].setdefault(pictures.kind, {}).update(shares)
    return Once(cost, cost.cpu_s, cost.wall_s, pictures.count)


def _cold(bench: Bench, pictures: PictureSet, count: int) -> Once:
    subset = pictures.first(count)
    with bench.store.workspace() as workspace:
        process.run(bench.command("run", workspace))  # folders and ledger are there from the day before
        sets.drop(subset.files, workspace)
        cost, _ = process.run(bench.command("run", workspace))
        sets.answers(workspace, subset)
    return Once(cost, cost.cpu_s, cost.wall_s, count)


def _libraries() -> Once:
    cost, _ = process.run(python("-c", _LIBRARIES))
    return Once(cost, cost.cpu_s, cost.wall_s, 0)


def _typical(bench: Bench, pictures: PictureSet, count: int) -> Once:
    """A short run is over before the machine's other work evens out: of several, the medians count."""
    runs = [_cold(bench, pictures, count) for _ in range(_SHORT_RUNS if count <= _SHORT_FILES else 1)]
    cpu_s, wall_s = (
        statistics.median(took) for took in zip(*((run.work_cpu_s, run.work_wall_s) for run in runs), strict=True)
    )
    return Once(Cost(cpu_s, wall_s, max(run.total.peak_mb for run in runs)), cpu_s, wall_s, count)


def _seconds(runs: Sequence[Once], unit: str) -> list[float]:
    return [run.total.cpu_s if unit == "CPU" else run.total.wall_s for run in runs]


def _extrapolate_cpu_s(run: Once, files: int) -> float:
    """Its start, and as many files as there are, if it was measured on some of them."""
    return run.total.cpu_s + run.work_cpu_s / run.files * (files - run.files)


def _taken(kind: str, who: str, files: int, runs: Sequence[Once]) -> list[Taken]:
    """Whole processes; of a rival, also its work without its start."""
    cpu_s, wall_s = tuple(run.total.cpu_s for run in runs), tuple(run.total.wall_s for run in runs)
    peak_mb = tuple(run.total.peak_mb for run in runs)
    measured = runs[0].files
    total = Taken(kind, NAMES[who], measured, cpu_s, wall_s, peak_mb, "all included")
    if who == RUN:
        return [total]
    work_cpu_s, work_wall_s = tuple(run.work_cpu_s for run in runs), tuple(run.work_wall_s for run in runs)
    note = f"without its start, on {measured} of {files}" if measured != files else "without its start"
    return [Taken(kind, NAMES[who], measured, work_cpu_s, work_wall_s, (), note), total]
