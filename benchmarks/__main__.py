"""How fast `digitrec run` is, against reading the files and against what others do with them (docs/dev/performance.md).

`python -m benchmarks` prints tables and writes JSON; `--scale 0.02 --pairs 1` is a first look, `--full` the real thing;
`--markdown JSON --into docs/dev/performance.md` puts what was measured into the documentation.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from benchmarks import measuring, tables
from benchmarks.figures import Results
from benchmarks.kinds import DIGITS, KINDS, PHOTOS, SCANS, SHEETS
from benchmarks.measuring import Bench, say
from benchmarks.process import ROOT, CommandFailed, cores, processor
from benchmarks.sets import Store

_GROWTH, _FULL_GROWTH = (1_000, 10_000), (1_000, 10_000, 100_000)
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "ai-edge-litert", "keras", "tensorflow", "tensorflow-cpu")

SECTIONS: Mapping[str, Callable[[Bench], None]] = {
    "a": lambda bench: measuring.throughput(bench, DIGITS),
    "b": lambda bench: measuring.throughput(bench, SCANS),
    "c": lambda bench: measuring.throughput(bench, SHEETS),
    "d": lambda bench: measuring.throughput(bench, PHOTOS),
    "cores": measuring.cores,
    "cold": measuring.cold,
    "numbers": measuring.numbers,
    "mixed": measuring.mixed,
    "growth": measuring.growth,
    "idle": measuring.idle,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what was measured."""
    options = _arguments(arguments)
    if options.markdown:
        page_tables = tables.markdown(Results.read(options.markdown))
        if options.into is None:
            print(page_tables, end="")
        else:
            options.into.write_text(
                tables.inserted(options.into.read_text(encoding="utf-8"), page_tables), encoding="utf-8"
            )
        return
    scale = 1.0 if options.full else options.scale
    growth = (
        _FULL_GROWTH if options.full else tuple(max(count // 100, round(count * (scale or 1.0))) for count in _GROWTH)
    )
    work = options.work or Path(tempfile.mkdtemp(prefix="digitrec-bench-"))
    bench = Bench(Store(work.resolve(), options.data), options.pairs, scale, growth, options.model)
    bench.results.about |= _about(options, scale, work)
    _warn(bench)
    try:
        for name in options.only or SECTIONS:
            SECTIONS[name](bench)
            bench.results.write(options.json)  # what is measured is kept, should a later section fail
    except CommandFailed as why:
        raise SystemExit(f"Not measured to the end: {why}") from None
    finally:
        if options.work is None:
            shutil.rmtree(work)
    print(tables.text(bench.results), end="")
    say(f"Written to {options.json}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--only", nargs="+", choices=[*SECTIONS], help="measure these sections only")
    sizes = ", ".join(f"{kind.files:,} {kind.name}" for kind in KINDS.values())
    parser.add_argument("--full", action="store_true", help=f"the full sizes ({sizes}), and growth to 100,000 files")
    parser.add_argument("--scale", type=float, help="share of the full sizes, 0..1, for a quick look")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured, in turn")
    parser.add_argument("--data", default="mnist", help="the digits to draw with (what digitrec --data takes)")
    parser.add_argument("--model", help="an id or a folder, as digitrec --model. Default: the shipped one")
    parser.add_argument("--work", type=Path, help="keep drawn pictures here, for the next time. Default: a temp folder")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results.json", help="output file")
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="measure nothing: print the tables of this file")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put them into this page, between its marks")
    options = parser.parse_args(arguments)
    if not (options.scale is None or 0 < options.scale <= 1) or options.pairs < 1:
        parser.error("--scale must be in 0..1, --pairs is at least 1")
    return options


def _about(options: argparse.Namespace, scale: float | None, work: Path) -> dict[str, object]:
    return {
        "made_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "libraries": _find_versions(),
        "work_filesystem": _filesystem(work),
        "load_before": os.getloadavg()[0],
        "scale": scale,
        "pairs": options.pairs,
        "model": options.model or "shipped",
        "sets": {},
    }


def _find_versions() -> dict[str, str]:
    """Return the versions of the libraries that matter; TensorFlow is tensorflow-cpu on most machines."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {name: installed[name] for name in _LIBRARIES if name in installed}


def _warn(bench: Bench) -> None:
    """Say what makes figures worth less."""
    about = bench.results.about
    if about["load_before"] > 0.3:
        bench.note(
            f"The machine had other work to do (load {about['load_before']:.1f}): ratios hold better than seconds."
        )
    if about["work_filesystem"] in {"tmpfs", "ramfs"}:
        bench.note("The files lay in memory, where fsync costs nothing; --work DIR names a folder on a disk.")
    if about["scale"] not in {None, 1.0}:
        bench.note("Of few files, the start is a large part: no figure here is to be held against its target.")


def _filesystem(work: Path) -> str:
    """On tmpfs, fsync costs nothing: who reads the figures has to know."""
    from digitrec.storage import folder_id

    return folder_id.get_filesystem(work)


if __name__ == "__main__":
    main()
