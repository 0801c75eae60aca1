"""numpy and OpenCV are loaded without threads of their own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from digitrec import one_thread
one_thread.load()
import cv2
print(len(os.listdir("/proc/self/task")), cv2.getNumThreads(), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is one thread anyway")
@pytest.mark.parametrize("asked", [None, "2"])
def test_there_is_one_thread_unless_the_user_asks_for_more(asked: str | None) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    surroundings |= {} if asked is None else {"OPENBLAS_NUM_THREADS": asked}

    told = subprocess.run([sys.executable, "-c", PROGRAM], env=surroundings, capture_output=True, text=True, check=True)

    threads, of_opencv, left = told.stdout.split()
    assert (int(threads) == 1) is (asked is None)
    assert (of_opencv, left) == ("1", str(asked))
