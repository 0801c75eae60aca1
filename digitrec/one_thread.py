"""numpy and OpenCV with one thread each: what reads pictures spreads its work over the cores itself."""

import os

_ASKED = "OPENBLAS_NUM_THREADS"


def load() -> None:
    """Import both. Each comes with an OpenBLAS, which starts a thread for each core; those wait by spinning.

    For products of small matrices they are never asked, and cost 0.15 CPU seconds: as much as all other imports. A
    number that the user set stands, and programs that are started from here see nothing of ours.
    """
    is_set = _ASKED in os.environ
    os.environ.setdefault(_ASKED, "1")
    try:
        import cv2  # which imports numpy
    finally:
        if not is_set:
            del os.environ[_ASKED]
    cv2.setNumThreads(1)
