"""A process that functions are called in."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from digitrec.child import Child, ReaderDied
from digitrec.errors import RejectedImage
from digitrec.records import Reason

pytestmark = pytest.mark.slow


def running() -> bool:
    return False


@pytest.fixture
def child() -> Iterator[Child]:
    one = Child(20.0)
    yield one
    one.stop()


def pid(_: object) -> int:
    return os.getpid()


def rejects(_: object) -> None:
    raise RejectedImage(Reason.BLANK)


class Particular(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def particular(_: object) -> None:
    raise Particular(1, 2)


def lambda_of(_: object) -> object:
    return lambda: None


def test_an_error_is_raised_with_the_place_where_it_happened(child: Child) -> None:
    with pytest.raises(ValueError, match="invalid literal") as told:
        child.call(int, "seven", running)

    assert "in _answered" in told.value.__notes__[0]


@pytest.mark.parametrize("function", [rejects, particular, lambda_of])
def test_an_error_or_result_that_cannot_travel_is_told_and_kills_nobody(child: Child, function: object) -> None:
    before = child.call(pid, None, running)

    with pytest.raises((RuntimeError, AttributeError, TypeError)):
        child.call(function, None, running)  # type: ignore[arg-type]

    assert child.call(pid, None, running) == before


def test_one_that_died_without_work_is_followed_by_another(child: Child) -> None:
    first = child.call(pid, None, running)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)

    assert child.call(pid, None, running) not in {None, first}


def test_a_stop_ends_the_wait_for_a_child_that_is_not_ready(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.child._PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr("digitrec.patience.PATIENCE_S", 0.2)
    began_s = time.monotonic()

    assert child.call(pid, None, lambda: True) is None
    assert time.monotonic() - began_s < 10


def test_nothing_is_imported_from_the_current_folder(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    (tmp_path / "json.py").write_text("import os; os._exit(7)")

    assert child.call(abs, -3, running) == 3


def test_where_there_is_no_interpreter_that_is_an_error_of_the_system(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(OSError, match="no child process") as told:
        child.call(abs, -3, running)
    assert told.value.errno == errno.EAGAIN


def test_a_child_that_is_killed_from_elsewhere_has_died(child: Child) -> None:
    child.prepare(time.sleep, running)
    threading.Timer(0.3, child.kill).start()

    with pytest.raises(ReaderDied):
        child.call(time.sleep, 30, running)
