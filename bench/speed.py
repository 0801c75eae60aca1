"""CPU of `digitrec run`, everything included, against bare decoding of the same files, in turn, several times.

`python -m bench.speed [--pairs 5] [--files 500] [--json FILE]`. Ratios are what counts: machines differ.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from digitrec import lab, samples
from digitrec.training import datasets

_FLOOR = "import sys, cv2\ncv2.setNumThreads(1)\nfor name in sys.stdin.read().split('\\n'): cv2.imread(name)"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a child process and its children took."""

    cpu_s: float
    peak_mb: float


def main() -> None:
    """Print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured, in turn")
    parser.add_argument("--files", type=int, default=500, help="files of each kind")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    kinds: dict[str, Callable[[Path, int], None]] = {"28x28 PNG": _digits, "drawn scans": _scans}
    print(f"{'files':14} {'run, CPU ms/file':>17} {'imread, CPU ms/file':>20} {'ratio (spread)':>22} {'peak MB':>8}")
    found = []
    for kind, write in kinds.items():
        with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
            source = Path(folder) / "source"
            source.mkdir()
            write(source, given.files)
            pairs = [(_run(source, Path(folder) / f"w{pair}"), _floor(source)) for pair in range(given.pairs)]
        ratios = sorted(ours.cpu_s / floor.cpu_s for ours, floor in pairs)
        ours_ms = statistics.median(ours.cpu_s for ours, _ in pairs) / given.files * 1000
        floor_ms = statistics.median(floor.cpu_s for _, floor in pairs) / given.files * 1000
        peak_mb = max(ours.peak_mb for ours, _ in pairs)
        ratio = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        print(f"{kind:14} {ours_ms:17.3f} {floor_ms:20.3f} {ratio:>22} {peak_mb:8.0f}")
        found.append({"files": kind, "run_ms": ours_ms, "floor_ms": floor_ms, "ratios": ratios, "peak_mb": peak_mb})
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _digits(folder: Path, count: int) -> None:
    split = datasets.load(lab.SMALL_SET).train
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:05}.png"), 255 - split.pictures[number % len(split)])


def _scans(folder: Path, count: int) -> None:
    split = datasets.load(lab.SMALL_SET).train
    samples.write(folder, samples.draw(split.pictures, split.digits, count, seed=1))
    (folder / "labels.csv").unlink()


def _run(source: Path, workspace: Path) -> Cost:
    (workspace / "inbox").mkdir(parents=True)
    for path in source.iterdir():
        os.link(path, workspace / "inbox" / path.name)
    words = [sys.executable, "-m", "digitrec", "run", "--settle-s", "0", "--workspace", str(workspace)]
    return _cost(words, "")


def _floor(source: Path) -> Cost:
    return _cost([sys.executable, "-c", _FLOOR], "\n".join(str(path) for path in source.iterdir()))


def _cost(words: list[str], text: str) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, input=text, text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, after.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
