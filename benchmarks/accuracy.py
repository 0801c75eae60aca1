"""How right the model in use is: on array sets, on drawn scans, and on labelled real pictures if a folder is given.

`python -m benchmarks.accuracy [--real DIR]`; DIR holds one folder a set, each with a labels.csv.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from digitrec.app import models
from digitrec.reports.reliability import COVERAGE_ERROR_RATES
from digitrec.reports.statistics import Proportion
from digitrec.settings import Settings

_DRAWN, _DRAWN_SEED = 1000, 20_000


def main() -> None:
    """Print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--real", type=Path, help="a folder of labelled sets of real pictures")
    parser.add_argument("--data", default="mnist", help="the array set to begin with (what digitrec --data takes)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--model", help="an id or a folder; default: the one in use")
    options = parser.parse_args()
    if options.real is None:
        print("No --real DIR: measured on array sets and on drawn scans only.\n")
    coverages = " ".join(f"{f'at {100 * rate:g} %':>9}" for rate in COVERAGE_ERROR_RATES)
    print(f"{'':78} could be accepted")
    print(f"{'set':22} {'right':>8} {'95 %':>17} {'accepted':>9} {'of these wrong':>18} {coverages}")
    results = []
    with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
        settings = Settings.load(Path(folder), {"model": options.model})
        for result in _evaluate_sets(settings, options.data, options.real):
            print(_format_row(result))
            results.append(result.to_json())
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _evaluate_sets(settings: Settings, data: str, real: Path | None) -> Iterator[models.EvaluationResult]:
    yield models.evaluate(settings, data)
    yield models.evaluate(settings, data, as_files=True)
    yield models.evaluate(settings, "digits-8x8")
    drawn = settings.workspace / "drawn-scans"
    models.write_samples(drawn, count=_DRAWN, seed=_DRAWN_SEED, data=models.SMALL_DATASET)
    yield models.evaluate(settings, str(drawn))
    for labels in sorted(real.glob("*/labels.csv")) if real else ():
        if "broken" not in labels.read_text(encoding="utf-8"):
            yield models.evaluate(settings, str(labels.parent))


def _format_row(result: models.EvaluationResult) -> str:
    interval = f"{100 * result.right.low:.2f} to {100 * result.right.high:.2f}"
    return (
        f"{result.data:22} {_format_percent(result.right):>8} {interval:>17} {_format_percent(result.accepted):>9} "
        f"{f'{_format_percent(result.accepted_wrong)} ({result.accepted_wrong.hits})':>18} "
        f"{' '.join(f'{_format_percent(share):>9}' for share in result.coverage.values())}"
    )


def _format_percent(share: Proportion) -> str:
    return "-" if share.share is None else f"{100 * share.share:.2f} %"


if __name__ == "__main__":
    main()
