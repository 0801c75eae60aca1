"""Write a report: its page, `report.json` with the same numbers, and its charts as PNG."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from digitrec import files
from digitrec.reports import html
from digitrec.reports.batch import Json
from digitrec.reports.chart import Chart


def write_report(
    folder: Path,
    template: str,
    report: Json,
    charts: Sequence[Chart] = (),
    figures: Mapping[str, Callable[[], bytes]] | None = None,
    *,
    has_png: bool = True,
    **content: object,
) -> Path:
    """Write `index.html`, `report.json` and, if matplotlib and seaborn are installed, a PNG of each chart.

    Args:
        folder: folder of the report; PNG files of an earlier report are removed.
        template: name of the template.
        report: the numbers.
        charts: the charts of the page, as `charts` by name in the template.
        figures: functions that draw more PNG files, by name.
        has_png: False: write no PNG, and remove those of the charts only.
        content: more values for the template.
    """
    files.make_dir(folder)
    pictures: dict[str, bytes] = {}
    if has_png and find_spec("matplotlib") and find_spec("seaborn"):
        from digitrec.reports.png import draw_chart

        pictures = {chart.name: draw_chart(chart) for chart in charts if not chart.is_empty}
        pictures |= {name: draw() for name, draw in (figures or {}).items()}
    for name, png in pictures.items():
        files.atomic_write(folder / f"{name}.png", png)
    own = {chart.name for chart in charts}.union(figures or ())
    for old in folder.glob("*.png"):
        if old.stem not in pictures and (has_png or old.stem in own):
            old.unlink()
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    page = folder / "index.html"
    by_name = {chart.name: chart for chart in charts}
    files.atomic_write(
        page, html.render_template(template, report=report, charts=by_name, has_png=bool(pictures), **content)
    )
    return page
