"""The child process that runs RapidOCR: a death, an error or a hang costs its opinion only."""

import os
import pickle
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.recognition import rapidocr_process
from digitrec.recognition.rapidocr_process import PARAMS, PATIENT, RapidOcr, RapidOcrParams
from digitrec.recognition.second_opinion import ReadText

pytestmark = pytest.mark.slow

STRIP = np.full((48, 200), 255, np.uint8)
QUICK = RapidOcrParams(wait_s=30.0, start_s=60.0, answer_s=0.5, most_failures=3, pause_s=100.0)
CHILD = """
import json, os, socket, sys, time
path, connection, lifeline = json.loads(sys.argv[1])
sys.path[:] = path
from digitrec.images.document_worker import end_with_parent
from digitrec.recognition.rapidocr_worker import serve
end_with_parent(lifeline)
{before}
def recognize(strip):
    {answer}
serve(socket.socket(fileno=connection), recognize)
"""


def child(answer: str, before: str = "") -> str:
    return CHILD.format(answer=answer, before=before)


def test_a_strip_is_read_by_the_child_with_its_shape_and_pixels() -> None:
    reader = RapidOcr(child("return f'{strip.shape} {int(strip.sum())}', 0.75"), QUICK)

    assert reader.read(STRIP) == ReadText(f"(48, 200) {255 * 48 * 200}", 0.75)
    assert reader.read(STRIP[:20, :30]) == ReadText(f"(20, 30) {255 * 600}", 0.75)


def test_copies_and_threads_of_a_process_share_one_child() -> None:
    reader = RapidOcr(child("return str(os.getpid()), 0.5"), QUICK)
    copy = pickle.loads(pickle.dumps(reader))

    first, second = reader.read(STRIP), copy.read(STRIP)

    assert first is not None
    assert first == second
    assert first.text != str(os.getpid())


def test_after_a_death_the_next_strip_has_a_new_child(tmp_path: Path) -> None:
    died = tmp_path / "died"
    reader = RapidOcr(child(f"return ('7', 0.9) if os.path.exists({str(died)!r}) else os._exit(9)"), QUICK)

    assert reader.read(STRIP) is None
    died.touch()
    assert reader.read(STRIP) == ReadText("7", 0.9)


@pytest.mark.parametrize("answer", ["time.sleep(600)", "return None", "return 'no', 'number'", "1 / 0"])
def test_a_hang_or_an_error_gives_no_opinion_in_time(answer: str) -> None:
    reader = RapidOcr(child(answer), QUICK)
    began_s = time.monotonic()

    assert reader.read(STRIP) is None
    assert time.monotonic() - began_s < QUICK.wait_s


def test_a_child_that_cannot_start_gives_no_opinion() -> None:
    assert RapidOcr("raise SystemExit(1)", QUICK).read(STRIP) is None


def test_a_slow_start_is_not_waited_for_and_serves_later_strips(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = child("return '7', 0.9", before=f"while not os.path.exists({str(go)!r}): time.sleep(0.01)")
    hasty = RapidOcr(program, RapidOcrParams(wait_s=0.05, start_s=60.0))

    assert hasty.read(STRIP) is None
    go.touch()
    assert RapidOcr(program, QUICK).read(STRIP) == ReadText("7", 0.9)


def test_after_failures_in_a_row_it_is_not_asked_for_some_time(tmp_path: Path) -> None:
    starts, now_s = tmp_path / "starts", [1000.0]
    program = child("os._exit(9)", before=f"open({str(starts)!r}, 'a').write('x')")
    reader = RapidOcr(program, QUICK, lambda: now_s[0])

    assert [reader.read(STRIP) for _ in range(5)] == [None] * 5
    assert starts.read_text() == "xxx"
    now_s[0] += QUICK.pause_s + 1
    reader.read(STRIP)
    assert starts.read_text() == "xxxx"


def test_the_limits_leave_room_for_a_page() -> None:
    assert PARAMS.wait_s + PARAMS.answer_s < 60
    assert PATIENT.wait_s > PARAMS.start_s


def test_the_child_ends_with_its_parent_even_while_it_hangs(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = child("time.sleep(600)", before=f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))")
    code = (
        "import sys; sys.path[:] = eval(sys.argv[1])\n"
        "import numpy as np\n"
        "from digitrec.recognition.rapidocr_process import RapidOcr, RapidOcrParams\n"
        "RapidOcr(sys.argv[2], RapidOcrParams(answer_s=600.0)).read(np.zeros((4, 4), np.uint8))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, repr(sys.path), program])
    try:
        deadline_s = time.monotonic() + 60
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    pid = int(pid_file.read_text())
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_fork_starts_a_child_of_its_own() -> None:
    reader = RapidOcr(child("return str(os.getppid()), 0.5"), QUICK)
    own = reader.read(STRIP)
    ours, theirs = os.pipe()

    pid = os.fork()
    if pid == 0:
        read = reader.read(STRIP)
        os.write(theirs, (read.text if read else "").encode())
        rapidocr_process._stop_all()
        os._exit(0)
    os.waitpid(pid, 0)

    assert own is not None
    assert own.text == str(os.getpid())
    assert os.read(ours, 100).decode() == str(pid)
    assert reader.read(STRIP) == own
    os.close(ours)
    os.close(theirs)


@pytest.mark.skipif(
    not all(util.find_spec(name) for name in ("rapidocr", "onnxruntime")), reason="needs the extra second-opinion"
)
def test_rapidocr_reads_a_number() -> None:
    strip = np.full((60, 220), 255, np.uint8)
    cv2.putText(strip, "40718", (20, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 0, 3, cv2.LINE_AA)

    read = RapidOcr(params=PATIENT).read(strip)

    assert read is not None
    assert read.text == "40718"
    assert read.score > 0.9
    assert RapidOcr(params=PATIENT).read(np.full((60, 60), 255, np.uint8)) == ReadText("", 0.0)
