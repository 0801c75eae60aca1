"""Chatter is held back; whatever else is written to stderr gets through."""

import os

import pytest

from digitrec.recognition.classifier_keras import drop_harmless_messages, quiet_start

CHATTER = b"""WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795360721.316341    7045 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795360721.316341    7045 tf_tfl_flatbuffer_helpers.cc:364] Ignored output_format.
E0000 00:00:1795360727.316056    7045 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""


def test_only_harmless_messages_are_dropped() -> None:
    assert drop_harmless_messages(CHATTER + b"E0000 out of memory\nERROR: no\n") == b"E0000 out of memory\nERROR: no\n"


def test_an_error_message_gets_through(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_start():
        os.write(2, CHATTER + b"disk full\n")

    assert capfd.readouterr().err == "disk full\n"


def test_stderr_is_itself_again_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with quiet_start():
            os.write(2, b"about to fail\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    os.write(2, b"later\n")
    assert capfd.readouterr().err == "about to fail\nlater\n"
