"""Figures as tables: for the terminal, and as Markdown for docs/dev/performance.md."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, Results, Taken
from benchmarks.kinds import KINDS

Rows = list[tuple[str, ...]]


def text(results: Results) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join([title, "", *_aligned(rows)]) for title, rows in _tables(results)) + _notes(results)


def markdown(results: Results) -> str:
    """For a document."""
    return "\n\n".join(f"**{title}**\n\n{pipe_table(rows)}" for title, rows in _tables(results)) + _notes(results)


def inserted(document: str, tables: str, name: str = "bench") -> str:
    r"""The document with these tables between its marks of this name.

    >>> inserted("before\n<!-- bench -->\nold\n<!-- /bench -->\n", "new\n").splitlines()
    ['before', '<!-- bench -->', '', 'new', '', '<!-- /bench -->']

    Raises:
        ValueError: it has no marks.
    """
    start = f"<!-- {name} -->"
    begin, end = document.index(start), document.index(f"<!-- /{name} -->")
    return f"{document[: begin + len(start)]}\n\n{tables}\n{document[end:]}"


def format_figure(figure: Figure) -> str:
    """The median, with the spread if it was measured more than once.

    >>> format_figure(Figure("digits_floor", "", "x", (7.04, 6.2, 6.81)))
    '6.8 (6.2 to 7.0) x'
    """
    low, high = (_number(value, figure.median) for value in figure.spread)
    spread = f" ({low} to {high})" if len(figure.values) > 1 else ""
    return f"{_number(figure.median, figure.median)}{spread} {figure.unit}"


def _tables(results: Results) -> Iterator[tuple[str, Rows]]:
    if results.figures:
        is_small = results.about["scale"] not in {None, 1.0}
        yield _title(results), _targets(results.figures, is_small=is_small)
    if results.taken:
        yield "What each took, the median of all pairs", _taken(results.taken)


def _title(results: Results) -> str:
    about = results.about
    sizes = {None: "the usual sizes", 1: "the full sizes"}.get(
        about["scale"]
    ) or f"{about['scale']:g} of the full sizes"
    return f"{about['made_at']}, {about['machine']}, {about['cores']} cores, {about['pairs']} pairs, {sizes}"


def _targets(figures: Sequence[Figure], *, is_small: bool) -> Rows:
    rows: Rows = [("figure", "at least", "aim", "here: median (spread)", "reached")]
    for figure in figures:
        target = figure.target
        if target is None:
            rows.append((figure.label, "", "", format_figure(figure), ""))
        else:
            bounds = (f"{target.at_least:g} {figure.unit}", f"{target.aim:g} {figure.unit}")
            reached = "too few files" if is_small else target.reached(figure.median)
            rows.append((figure.label, *bounds, format_figure(figure), reached))
    return rows


def _taken(taken: Sequence[Taken]) -> Rows:
    rows: Rows = [("pictures", "program", "files", "CPU ms a file", "wall ms a file", "peak MB", "note")]
    for measurement in [
        measurement for measurement in taken if measurement.files
    ]:  # a run on no file has no time for each
        cpu_ms, wall_ms = (
            statistics.median(values) / measurement.files * 1000 for values in (measurement.cpu_s, measurement.wall_s)
        )
        peak_mb = f"{max(measurement.peak_mb):.0f}" if measurement.peak_mb else ""
        name = KINDS[measurement.kind].name
        rows.append(
            (
                name,
                measurement.who,
                f"{measurement.files:,}",
                f"{cpu_ms:.3f}",
                f"{wall_ms:.3f}",
                peak_mb,
                measurement.note,
            )
        )
    return rows


def _notes(results: Results) -> str:
    return "".join(f"\n\n{note}" for note in results.notes) + "\n"


def _aligned(rows: Rows) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def pipe_table(rows: Rows) -> str:
    """Return a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _number(value: float, scale: float) -> str:
    """With as many places as say something at this scale."""
    return f"{value:.{0 if scale >= 100 else 1 if scale >= 3 else 2 if scale >= 0.1 else 3}f}"
