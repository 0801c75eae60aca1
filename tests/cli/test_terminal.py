"""What a person sees at a terminal, and that nothing of it appears elsewhere."""

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from digitrec.app.run import WatchState
from digitrec.app.service import ShutdownSignal
from digitrec.cli import terminal
from digitrec.cli.watch_panel import WatchPanel
from digitrec.settings import Settings
from digitrec.storage.claims import OutcomeCounts
from digitrec.training.classifier import TrainingState
from tests.conftest import draw

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What was written to a pseudo-terminal of 100 columns."""

    def __init__(self) -> None:
        self.primary, self.secondary = pty.openpty()
        self.written = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while part := os.read(self.primary, 4096):
                self.written += part
        except OSError:  # its last program has ended
            return

    def close(self) -> str:
        """Return what was written, once all programs have ended."""
        os.close(self.secondary)
        self._thread.join(30)
        os.close(self.primary)
        return self.written.decode()


def run_on_terminal(folder: Path, *words: str, **variables: str) -> str:
    """Run the program with both streams on a terminal, and return what it wrote."""
    screen = Terminal()
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm", "DIGITREC_SETTLE_S": "0"} | variables
    program = [sys.executable, "-m", "digitrec", *words]
    streams = {"stdin": subprocess.DEVNULL, "stdout": screen.secondary, "stderr": screen.secondary}
    subprocess.run(program, cwd=folder, env=environment, check=False, timeout=300, **streams)  # type: ignore[call-overload]
    return screen.close()


@contextmanager
def live_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Replace standard error of this process by a terminal."""
    screen = Terminal()
    with open(os.dup(screen.secondary), "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("TERM", "xterm")
        yield screen


def fill(inbox: Path, count: int = 3) -> None:
    inbox.mkdir()
    for number in range(count):
        (inbox / f"{number}.png").write_bytes(draw(7))


@pytest.mark.slow
def test_run_on_a_terminal_shows_progress_and_a_short_summary(tmp_path: Path) -> None:
    fill(tmp_path / "inbox")

    screen = run_on_terminal(tmp_path, "run")

    assert "0 of 3 files" in screen
    lines = [line for line in screen.splitlines() if "CSV" in line]
    assert re.fullmatch(r"  CSV     outbox/\S+\.csv", lines[0])
    assert "\x1b[32m3 accepted\x1b[0m" in screen
    assert '"event"' not in screen


@pytest.mark.slow
def test_colour_is_left_out_on_request_and_log_lines_shown(tmp_path: Path) -> None:
    fill(tmp_path / "inbox")

    screen = run_on_terminal(tmp_path, "run", "-v", NO_COLOR="1")

    assert "3 files: 3 accepted, 0 to review" in screen
    assert "\x1b[3" not in screen
    assert "batch closed" in screen


@pytest.mark.slow
def test_run_elsewhere_writes_neither_progress_nor_escape_sequences(tmp_path: Path) -> None:
    fill(tmp_path / "inbox")

    program = [sys.executable, "-m", "digitrec", "run", "--settle-s", "0"]
    result = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)

    assert "\x1b" not in result.stdout + result.stderr
    assert " of 3 files" not in result.stdout + result.stderr
    assert f"  CSV     {tmp_path / 'outbox'}" in result.stdout
    assert all(line.startswith("{") for line in result.stderr.splitlines())


def test_a_bar_shows_speed_and_time_left_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 10.0, 20.0, 30.0])
    bar = terminal.ProgressBar("Reading", unit="files", clock=lambda: next(times))
    with live_terminal(monkeypatch) as screen, bar:
        threads = threading.active_count()
        for done in (0, 20, 5, 120):
            bar.update(done, 120)
        assert threading.active_count() == threads, "workers can be forked from a process of one thread only"
    text = ESCAPE.sub("", screen.close())

    assert "0 of 120 files" in text
    assert "20 of 120 files, 2.0 files/s, about 50 s left" in text
    assert "20 of 120 files, 1.0 files/s, about 2 min left" in text
    assert "5 of 120 files" not in text.replace("20 of 120", "")
    assert "120 of 120 files, 4.0 files/s" in text


def test_a_line_of_a_training_is_not_glued_to_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with live_terminal(monkeypatch) as screen, terminal.TrainingProgress() as progress:
        part = {"part": "segmenter", "part_number": 2, "parts": 4}
        progress.update(TrainingState(1, 2, 3, 10, 0.1, 0.9, stage="ink", **part))  # type: ignore[arg-type]
        progress.update(TrainingState(1, 2, 10, 10, 0.1, 0.9, stage="ink", words="epoch 1 done", **part))  # type: ignore[arg-type]
    written = screen.close()

    assert "2 of 4: segmenter" in written
    assert "3 of 20 batches" in written
    lines = [ESCAPE.sub("", line).strip() for line in re.split(r"[\r\n]+", written)]
    assert "epoch 1 done" in lines


def test_watch_panel_shows_counts_and_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    (tmp_path / "outbox").mkdir()
    table = "file,page,status,text,reason_code\n7.png,1,accepted,7,\nnote.png,2,review,12,low_confidence\n"
    (tmp_path / "outbox" / "batch-1.csv").write_text(table)
    state = WatchState(read=3, expected=9)
    state.summary.waiting = 4
    with live_terminal(monkeypatch) as screen, WatchPanel(settings, ShutdownSignal()) as panel:
        panel.show(state)
        state.summary.count += OutcomeCounts(accepted=1, review=1)
        state.read = state.expected = 0
        state.newest, state.failure = "batch-1", "no space"
        panel.show(state)
    text = ESCAPE.sub("", screen.close())

    assert "4 waiting" in text
    assert "3 of 9 files" in text
    assert "1 accepted, 1 to review, 0 rejected" in text
    assert "no space; trying again" in text
    assert re.search(r"answers +12  note\.png, page 2  review: low_confidence", text)
    assert re.search(r"\n +7  7\.png", text)


@pytest.mark.parametrize(
    ("line", "wrapped"),
    [
        ("short", "short"),
        ("  a long line of words without a label", "  a long line of\n  words without a\n  label"),
        ("digitrec: the folder is not there today", "digitrec: the folder\n  is not there today"),
        ("  report  /one/word/that/cannot/be/broken", "  report  /one/word/that/cannot/be/broken"),
    ],
)
def test_long_lines_have_a_hanging_indent(line: str, wrapped: str) -> None:
    assert terminal.wrap_line(line, 20) == wrapped


def test_errors_are_coloured_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal.say("digitrec: no such file", err=True)
    assert capsys.readouterr().err == "digitrec: no such file\n"
    with live_terminal(monkeypatch) as screen:
        terminal.say("digitrec: no such file", err=True)
    assert screen.close() == "\x1b[31mdigitrec:\x1b[0m no such file\r\n"
