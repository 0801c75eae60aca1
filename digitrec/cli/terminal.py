"""Write for a person at a terminal: colour, wrapped lines, short paths, progress. Elsewhere lines stay as they are."""

import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from digitrec.text import escape_message

if TYPE_CHECKING:
    from digitrec.training.classifier import TrainingState

_REFRESH_S = 0.1
"""Shortest time between two drawings of a bar, seconds."""
_MIN_RATE_S = 2.0
"""Time after which a speed and a time left are shown: earlier ones vary too much."""
_MIN_TRAINING_S = 30.0
"""Time after which the time left of a training is shown."""
_TONES = re.compile(
    r"(?P<green>^(?:ok|healthy)\b|\b[1-9][0-9,]* accepted\b|\bno difference$)"
    r"|(?P<yellow>^(?:note|! .*| *deferred)\b|\b[1-9][0-9,]* (?:to review|needs? review|review|deferred)\b)"
    r"|(?P<red>^(?:FAULT|PROBLEM|unhealthy|DIFFERENCE|digitrec:| *failed)(?=\W)|\b[1-9][0-9,]* rejected\b)",
    re.MULTILINE,
)
"""What a line says of a result, by colour."""
_LABEL = re.compile(r" *\S+ {2,}| *")
"""Beginning of a line that its other lines are indented by: a label and the spaces after it."""


def is_live() -> bool:
    """Return whether standard error is a terminal that can move its cursor, for bars and panels."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in {"dumb", "unknown"}


def say(lines: str, *, err: bool = False) -> None:
    """Print lines; on a terminal wrapped with a hanging indent, with colour and paths relative to the current folder.

    Args:
        lines: text without escape sequences.
        err: print on standard error.
    """
    if (sys.stderr if err else sys.stdout).isatty():
        width = shutil.get_terminal_size().columns
        lines = "\n".join(wrap_line(shorten_paths(line), width) for line in lines.split("\n"))
        lines = color_results(lines) if has_color() else lines
    typer.echo(lines, err=err)


def has_color() -> bool:
    """Return whether a terminal should show colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "").lower() not in {"dumb", "unknown"}


def wrap_line(line: str, width: int) -> str:
    r"""Break a line between words; the lines after the first are indented like the text after its label.

    >>> wrap_line("note   inbox: it is on a network share", 24)
    'note   inbox: it is on a\n       network share'
    >>> wrap_line("  report  /a/long/path.html", 12)
    '  report  /a/long/path.html'
    """
    label = _LABEL.match(line)
    start = label.end() if label else 0
    if len(line) <= width or start > width // 2:
        return line
    indent = " " * (start or 2)
    wrapper = textwrap.TextWrapper(
        width, initial_indent=line[:start], subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.fill(line[start:])


def shorten_paths(line: str, folder: Path | None = None) -> str:
    """Return a line whose paths below a folder begin there; default: the current folder.

    >>> shorten_paths("  CSV     /srv/scans/outbox/1.csv", Path("/srv/scans"))
    '  CSV     outbox/1.csv'
    >>> shorten_paths("/mnt/srv/scans/1.csv", Path("/srv/scans"))
    '/mnt/srv/scans/1.csv'
    """
    try:
        start = f"{escape_message(str(folder or Path.cwd())).rstrip('/')}/"
    except FileNotFoundError:  # the current folder was removed
        return line
    return re.sub(rf"(?<![\w./~-]){re.escape(start)}(?=\S)", "", line) if start != "/" else line


def color_results(lines: str) -> str:
    r"""Return lines with counts and labels of results in green, yellow or red.

    >>> color_results("ok     model: complete")
    '\x1b[32mok\x1b[0m     model: complete'
    """
    return _TONES.sub(lambda match: typer.style(match[0], fg=match.lastgroup), lines)


def format_time(seconds: float) -> str:
    """Return a time left in words, no finer than it is known.

    >>> [format_time(seconds) for seconds in (8, 64, 5400, 20_000)]
    ['10 s', '1 min', '1 h 30 min', '5.5 h']
    """
    if seconds < 55:
        return f"{max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 180 else f"{minutes / 60:.1f} h"


class Rate:
    """Speed since the first value, and the time left."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._first: tuple[float, int] | None = None

    def describe(self, done: int, total: int, now_s: float) -> str:
        """Return done and total, and once they are known, the speed and the time left."""
        self._first = self._first or (now_s, done)
        elapsed_s, progress = now_s - self._first[0], done - self._first[1]
        words = f"{done:,} of {total:,} {self._unit}"
        if progress <= 0 or elapsed_s < _MIN_RATE_S:
            return words
        rate = progress / elapsed_s
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}" if rate >= 0.095 else f"{rate:.2f}"
        left = f", about {format_time((total - done) / rate)} left" if done < total else ""
        return f"{words}, {speed} {self._unit}/s{left}"


class ProgressBar:
    """Bar on a terminal: how many of how many, speed, time left. It starts no thread: workers are forked meanwhile."""

    def __init__(self, title: str, *, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._clock = clock
        self._rate = Rate(unit)
        self._done = 0
        self._drawn_s = -_REFRESH_S
        self._is_closed = False
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):  # the terminal was closed
                self._bar.stop()

    def update(self, done: int, total: int, more: str = "") -> None:
        """Show the number of items done, which never decreases, of all items, and another text."""
        if not total or self._is_closed or not is_live():
            return
        now_s = self._clock()
        self._done = max(done, self._done)
        note = self._rate.describe(min(self._done, total), total, now_s) + more
        if now_s - self._drawn_s < _REFRESH_S:
            return
        self._drawn_s = now_s
        try:
            if self._bar is None:
                self._start(total)
            self._bar.update(self._task, completed=self._done, total=total, note=note, refresh=True)
        except OSError:  # the terminal was closed, and SIGHUP ends the command in order
            self._is_closed = True

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bar."""
        if self._bar is None:
            typer.echo(line, err=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn(self._title, markup=False), BarColumn(30), TextColumn("{task.fields[note]}"))
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False)
        self._task = self._bar.add_task("", total=total, note="")
        self._bar.start()


_STAGES = {
    "crops": ("segmenter", "crops"),
    "ink": ("segmenter", "batches"),
    "lines": ("sequence recognizer", "lines"),
    "strips": ("sequence recognizer", "pages"),
    "line": ("sequence recognizer", "batches"),
    "pages": ("digit classifier", "pages"),
    "digits": ("digit classifier", "batches"),
    "calibration": ("calibration", "pages"),
    "corrected pages": ("corrected pages", "pages"),
}
"""Name of each stage of a training, and what it counts."""


class TrainingProgress:
    """Progress of training: a bar for each stage on a terminal, and a line for each epoch."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar = ProgressBar("", unit="")
        self._started_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, value, trace)

    def update(self, state: "TrainingState") -> None:
        """Show a state of the training."""
        if state.stage != self._stage:
            self._bar.__exit__(None, None, None)
            name, unit = _STAGES.get(state.stage, (state.stage, "done"))
            title = f"{state.part_number} of {state.parts}: {state.part}" if state.part else name
            self._stage, self._bar = state.stage, ProgressBar(title, unit=unit)
        is_known = state.all_left_s is not None and time.monotonic() - self._started_s >= _MIN_TRAINING_S
        all_left = f"; in all about {format_time(state.all_left_s or 0.0)}" if is_known else ""
        if not (state.words and state.steps == state.epochs == 1):  # a note, and no step
            self._bar.update((state.epoch - 1) * state.steps + state.step, state.epochs * state.steps, all_left)
        if state.line:
            self._bar.say(state.line)
