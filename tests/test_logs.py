"""Log entries are one line each, also for exceptions in threads."""

import json
import subprocess
import sys

import pytest

FAILING_THREAD = """
import sys, threading
from digitrec import logs

def work():
    raise ValueError("no such\\nthing")

logs.configure(sys.argv[1])
for number in range(2):
    thread = threading.Thread(target=work, name="observer")
    thread.start()
    thread.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_error_that_ends_a_thread_is_logged_once_in_one_line(log_format: str) -> None:
    command = [sys.executable, "-c", FAILING_THREAD, log_format]
    (line,) = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()

    assert "a thread was ended by an error" in line
    assert "ValueError: no such%0Athing" in line
    if log_format == "json":
        entry = json.loads(line)
        assert (entry["level"], entry["thread"]) == ("error", "observer")
        assert any("in work" in frame for frame in entry["traceback"])


RECURSING_THREAD = """
import threading
from digitrec import logs

def work():
    work()

logs.configure("json")
thread = threading.Thread(target=work, name="observer")
thread.start()
thread.join()
"""


def test_a_recursion_error_is_logged_without_its_frames() -> None:
    command = [sys.executable, "-c", RECURSING_THREAD]
    (line,) = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()

    entry = json.loads(line)
    assert (entry["level"], entry["thread"]) == ("warning", "observer")
    assert entry["why"].startswith("RecursionError")
    assert "traceback" not in entry


WARNING_LIBRARY = """
import logging, time
from digitrec import logs

logs.configure("text")
logs.capture_loggers("library")
for wall_s, steady_s in ((4e9, 100), (1e9, 105), (1e9, 120)):
    time.time, time.monotonic = lambda: wall_s, lambda: steady_s
    logging.getLogger("library.part").warning("trouble at %d", steady_s)
"""


def test_a_library_warns_again_after_the_clock_was_set_back() -> None:
    command = [sys.executable, "-c", WARNING_LIBRARY]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()

    assert [line.partition("why=")[2] for line in lines] == ["trouble at 100", "trouble at 120"]
