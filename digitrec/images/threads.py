"""Import numpy and OpenCV with one thread each, as the executor distributes the work over the cores."""

import os
import resource

from digitrec.errors import NotEnoughMemory

_MIN_MEMORY_MB = 350
"""Address space of a process that reads a small picture, MB, measured on two cores; large photographs take more."""
_THREADS_VARIABLE = "OPENBLAS_NUM_THREADS"


def import_opencv() -> None:
    """Import numpy and OpenCV with one OpenBLAS thread.

    OpenBLAS starts a thread for each core, which spins: 0.15 CPU seconds, as much as all other imports, and of no use
    for small matrices. A number set by the user is kept, and child processes do not inherit ours.

    Raises:
        NotEnoughMemory: the limit of the process is too low.
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


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS has none


def check_memory() -> None:
    """Raise NotEnoughMemory if the memory limit of the process is too low for reading.

    Call it before native libraries are loaded: some of them end the process when memory runs out.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _MIN_MEMORY_MB * 1_000_000:
        raise NotEnoughMemory(
            f"this process may use {most // 1_000_000} MB of memory; reading pictures takes at least {_MIN_MEMORY_MB} "
            "MB"
        )
