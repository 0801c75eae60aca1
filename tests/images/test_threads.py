"""numpy and OpenCV are loaded without threads of their own, and only where there is memory for them."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from digitrec.errors import wrap_memory_error
from tests.conftest import draw

PROGRAM = """
import os, threading
from digitrec.images.threads import import_opencv
import_opencv()
import cv2
print(len(os.listdir("/proc/self/task")), cv2.getNumThreads(), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is one thread anyway")
@pytest.mark.parametrize("asked", [None, "2"])
def test_a_single_thread_is_used_unless_the_user_sets_more(asked: str | None) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    surroundings |= {} if asked is None else {"OPENBLAS_NUM_THREADS": asked}

    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=surroundings, capture_output=True, text=True, check=True
    )

    threads, of_opencv, left = process.stdout.split()
    assert (int(threads) == 1) is (asked is None)
    assert (of_opencv, left) == ("1", str(asked))


@pytest.mark.slow
@pytest.mark.parametrize("limit_kb", [250_000, 100_000])
@pytest.mark.parametrize(
    "words", [("run", "--settle-s", "0"), ("watch",), ("predict", "inbox/7.png")], ids=lambda words: words[0]
)
def test_too_little_memory_exits_74_with_a_plain_message(words: tuple[str, ...], limit_kb: int, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    limit = limit_kb * 1024

    done = subprocess.run(
        [sys.executable, "-m", "digitrec", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )

    assert done.returncode == 74
    message, hint = done.stderr.splitlines()[-2:]
    assert (
        message
        == f"digitrec: this process may use {limit // 10**6} MB of memory; reading pictures takes at least 350 MB"
    )
    assert "ulimit -v" in hint
    assert "Traceback" not in done.stderr
    assert "failed, trying again" not in done.stderr, "it would fail again"
    assert (tmp_path / "inbox" / "7.png").exists()


@pytest.mark.slow
def test_an_empty_inbox_needs_no_memory_to_read_with(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    limit = 100_000 * 1024

    subprocess.run(
        [sys.executable, "-m", "digitrec", "run"],
        cwd=tmp_path,
        check=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


@pytest.mark.parametrize(
    "why",
    [
        MemoryError(),
        ImportError("/lib/libgomp.so.1: cannot allocate memory in static TLS block"),
        ImportError("libpng16.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_symptoms_of_too_little_memory_are_reported_as_such(why: Exception) -> None:
    failure = wrap_memory_error(why)

    assert failure is not None
    assert failure.exit_code == 74
    assert str(failure) > "there is not enough memory: "


def test_other_errors_are_no_sign_of_too_little_memory() -> None:
    assert wrap_memory_error(ImportError("No module named 'tensorflow'")) is None
