"""numpy and OpenCV with one thread each: what reads pictures spreads its work over the cores itself."""

import os
import resource

from digitrec.errors import NotEnoughMemory

_MIN_MEMORY_MB = 350
"""Addresses that a process takes which reads a small picture, measured on two cores; large photographs take more."""
_THREADS_VARIABLE = "OPENBLAS_NUM_THREADS"


def import_opencv() -> None:
    """Import both. Each comes with an OpenBLAS, which starts a thread for each core; those wait by spinning.

    For products of small matrices they are never asked, and cost 0.15 CPU seconds: as much as all other imports. A
    number that the user set stands, and programs that are started from here see nothing of ours.

    Raises:
        NotEnoughMemory: this process may not use as much as they take.
    """
    check_memory()
    is_set = _THREADS_VARIABLE in os.environ
    os.environ.setdefault(_THREADS_VARIABLE, "1")
    try:
        import cv2  # which imports numpy
    finally:
        if not is_set:
            del os.environ[_THREADS_VARIABLE]
    cv2.setNumThreads(1)


def check_memory() -> None:
    """Raise NotEnoughMemory if this process may not use the memory that reading takes.

    To be called before native libraries are loaded: some of them end the process where memory is missing.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _MIN_MEMORY_MB * 1_000_000:
        raise NotEnoughMemory(
            f"this process may use {most // 1_000_000} MB of memory; reading pictures takes at least {_MIN_MEMORY_MB} "
            "MB"
        )
