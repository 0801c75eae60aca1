"""Keep the start-up chatter of TensorFlow and LiteRT off the terminal, and nothing else.

Both write it to file descriptor 2 from C++, where neither `logging` nor `sys.stderr` can reach it.
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from digitrec.extras import needs

_CHATTER = re.compile(
    rb"^(WARNING: All log messages before absl|INFO: Created TensorFlow Lite|INFO: Initialized TensorFlow Lite"
    rb"|[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |E\d{4} .*(cuda_platform|cuda_diagnostics|failed call to cuInit)"
    rb"|E\d{4} .*(oneDNN supports DT_BOOL only|NodeDef mentions attribute)"
    rb"|To enable the following instructions|Saved artifact at|\s*$)"
)
_one_at_a_time = threading.RLock()


@contextmanager
def quiet_start() -> Iterator[None]:
    """Hold back what is written to stderr meanwhile; afterwards write all of it but the known chatter."""
    with _one_at_a_time, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        # A daemon may have closed its stderr; then there is nothing to keep clean.
        try:
            real = os.dup(2)
        except OSError:
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            rest = without_chatter(held.read())
            if rest:
                os.write(2, rest)


def start_keras() -> Any:
    """Import Keras and let TensorFlow look for devices, which is when it talks most; gives the module.

    Raises:
        MissingPackage: they are not installed.
    """
    needs("Keras' download and --keras", "tensorflow", "keras")
    with quiet_start():
        import keras
        import tensorflow

        tensorflow.config.list_logical_devices()
    return keras


def without_chatter(text: bytes) -> bytes:
    r"""Drop the lines that say nothing went wrong.

    >>> without_chatter(b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nout of memory\n")
    b'out of memory\n'
    """
    return b"".join(line for line in text.splitlines(keepends=True) if not _CHATTER.match(line))
