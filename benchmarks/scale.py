"""Measure a workspace that has read many files: `python -m benchmarks.scale --kind digits --files 1000,10000,100000`.

For each number of files, a new workspace reads all of them in one run. Then the other commands are measured on it. The
table ends with the line through the measurements (least squares): the constant part, and the part for a million files.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import process, sets
from benchmarks.kinds import DIGITS, SCANS
from benchmarks.process import Cost
from benchmarks.sets import PictureSet, Store
from digitrec.review.home import HomeMonitor
from digitrec.settings import Settings

_COMMANDS = ("status", "verify", "report")
_REQUESTS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kind", choices=(DIGITS, SCANS), default=DIGITS, help="of the pictures (default: digits)")
    parser.add_argument("--files", default="1000,10000,100000", help="numbers of files, ascending")
    parser.add_argument("--data", default="mnist", help="the digits to draw with (what digitrec --data takes)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="folder for the pictures")
    options = parser.parse_args(arguments)
    counts = [int(count) for count in options.files.split(",")]
    pictures = Store(options.work, options.data).get(options.kind, counts[-1])
    columns = [_measure(Store(options.work, options.data), pictures.first(count)) for count in counts]
    print(f"| {options.kind} | {' | '.join(f'{count:,}' for count in counts)} | constant | a million |")
    print("|---|" + "--:|" * (len(counts) + 2))
    for name in columns[0]:
        values = [column[name] for column in columns]
        slope, constant = np.polyfit(counts, values, 1) if len(counts) > 1 else (values[0] / counts[0], 0.0)
        line = [*values, float(constant), float(constant + 1e6 * slope)]
        print(f"| {name} | {' | '.join(f'{value:,.3g}' if value < 1000 else f'{value:,.0f}' for value in line)} |")


def _measure(store: Store, pictures: PictureSet) -> dict[str, float]:
    """Return the figures of a workspace that reads these pictures."""
    with store.workspace(pictures.files) as workspace:
        cost = _run("run", workspace, "--settle-s", "0")
        figures = {"run, CPU s": cost.cpu_s, "run, wall s": cost.wall_s, "run, peak MB": cost.peak_mb}
        sets.answers(workspace, pictures)
        for command in _COMMANDS:
            cost = _run(command, workspace)
            figures |= {f"{command}, CPU s": cost.cpu_s, f"{command}, wall s": cost.wall_s}
        figures["home page, s"] = _home_page_s(workspace)
        figures["ledger, MB"] = _size_mb(workspace / ".digitrec")
        figures["tables, MB"] = _size_mb(workspace / "outbox", lambda path: path.suffix == ".csv")
        figures["reports, MB"] = _size_mb(workspace / "reports")
    return figures


def _run(command: str, workspace: Path, *more: str) -> Cost:
    cost, _ = process.run(process.python("-m", "digitrec", command, "--workspace", str(workspace), *more))
    return cost


def _home_page_s(workspace: Path) -> float:
    """Return the median time to collect what the home page shows, with nothing cached, seconds."""
    times = []
    for _ in range(_REQUESTS):
        monitor, started_s = HomeMonitor(Settings(workspace=workspace)), time.perf_counter()
        monitor.read()
        times.append(time.perf_counter() - started_s)
    return statistics.median(times)


def _size_mb(folder: Path, is_counted: Callable[[Path], bool] = Path.is_file) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and is_counted(path)) / 1e6


if __name__ == "__main__":
    main()
