"""Panel of `watch` on a terminal: what waits, what is read, the counts since the start, the last answers."""

import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from digitrec.cli import answers, terminal
from digitrec.settings import Settings
from digitrec.text import escape_message

if TYPE_CHECKING:
    from rich.table import Table

    from digitrec.app.run import WatchState
    from digitrec.app.service import ShutdownSignal

_MAX_ANSWERS = 8
_REFRESH_S = 0.25
"""Shortest time between two drawings, seconds."""


class WatchPanel:
    """Panel that is drawn in place, after each scan and while files are read; warnings appear above it."""

    def __init__(self, settings: Settings, stop: "ShutdownSignal") -> None:
        self._settings = settings
        self._stop = stop
        self._started = time.strftime("%H:%M")
        self._rate = terminal.Rate("files")
        self._answers: deque[dict[str, str]] = deque(maxlen=_MAX_ANSWERS)
        self._newest = ""
        self._drawn_s = 0.0
        self._live: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        # No refresh thread: `show` is called often enough. The panel begins with an empty line, as a line that a signal
        # handler writes moves it down by one.
        self._live = Live(
            console=Console(stderr=True), auto_refresh=False, redirect_stdout=False, vertical_overflow="crop"
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal was closed
            self._live.stop()

    def show(self, state: "WatchState") -> None:
        """Draw a state, at most a few times a second while files are read."""
        now_s = time.monotonic()
        is_new = state.newest != self._newest
        if is_new:
            self._add_answers(state.newest)
        if not state.expected:
            self._rate = terminal.Rate("files")
        if is_new or not state.expected or self._stop() or now_s - self._drawn_s >= _REFRESH_S:
            self._drawn_s = now_s
            with suppress(OSError):  # the terminal was closed, and SIGHUP ends the command in order
                self._live.update(self._draw(state, now_s), refresh=True)

    def _add_answers(self, batch_id: str) -> None:
        self._newest = batch_id
        table = self._settings.table_location(batch_id)
        try:
            self._answers.extend(answers.read_table(Path(table)))
        except OSError:  # it was moved since; the panel goes on without its answers
            self._answers.clear()

    def _draw(self, state: "WatchState", now_s: float) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(overflow="fold")

        def add(label: str, words: str | Text, style: str = "") -> None:
            cell = Text(escape_message(words), style) if isinstance(words, str) else words
            table.add_row(Text(label, style="bold"), cell)

        count, summary = state.summary.count, state.summary
        add("", "")
        add("watching", f"{self._settings.inbox}  (Ctrl-C stops)")
        add("inbox", f"{summary.waiting} waiting at {time.strftime('%H:%M:%S')}")
        if state.expected:
            add("reading", self._rate.describe(state.read, state.expected, now_s))
        outcomes = f"{count.accepted} accepted, {count.review} to review, {count.rejected} rejected"
        add("answered", Text.from_ansi(terminal.color_results(f"since {self._started}: {outcomes}")))
        if state.failure:
            add("failing", f"{state.failure}; trying again", "red")
        if self._stop():
            add("stopping", "results so far are kept; press Ctrl-C again to end at once", "yellow")
        if self._newest:
            add("newest", terminal.shorten_paths(str(self._settings.table_location(self._newest))))
            add("report", terminal.shorten_paths(str(self._settings.reports / self._newest / "index.html")))
        for number, line in enumerate(reversed(self._answers)):
            add("answers" if not number else "", _summarize_row(line), answers.STYLES.get(line["status"], ""))
        return table


def _summarize_row(line: dict[str, str]) -> str:
    """Return a row of the main table in a line: file, page of a document, answer, and what speaks against it."""
    page = f", page {line['page']}" if line["page"] not in {"", "1"} else ""
    answer = answers.shorten_cell("text", line) or "-"
    doubt = "" if line["status"] == "accepted" else f"  {line['status']}: {line['reason_code']}"
    return f"{answer}  {line['file']}{page}{doubt}"
