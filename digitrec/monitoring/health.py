"""Whether the service does its work: one word for a supervisor, one line for a person."""

from dataclasses import dataclass

from digitrec.monitoring.heartbeat import Doing
from digitrec.monitoring.status import Status
from digitrec.monitoring.workers import NOT_RUNNING, Worker


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict and its reason."""

    is_well: bool
    why: str


def health(found: Status, worker: str, max_wait_s: float, max_scan_age_s: float = 0.0) -> Health:
    """Judge one worker, and the files that wait for any.

    Args:
        found: how things stand.
        worker: the one to judge.
        max_wait_s: longest a file may wait, seconds.
        max_scan_age_s: longest time since the last scan of the inbox, seconds; 0: three scan intervals of the worker.
    """
    mine = next((one for one in found.workers if one.name == worker), None)
    if found.problem:
        return Health(False, f"the inbox cannot be scanned: {found.problem}")
    if mine is None or mine.last_scan_s is None:
        return Health(False, f"worker {worker} has never scanned the inbox{_why(mine)}")
    if _is_late(mine, mine.last_scan_s, max_scan_age_s):
        why = _why(mine) or _of_cron(mine, max_scan_age_s)
        return Health(False, f"worker {worker}: last scan {mine.last_scan_s:.0f} s ago{why}")
    if found.oldest_s is not None and found.oldest_s > max_wait_s:
        return Health(False, f"{found.oldest} has waited {found.oldest_s:.0f} s{_why(mine)}")
    waits = f"the longest wait is {found.oldest_s:.0f} s" if found.oldest_s is not None else "nothing waits"
    noticed = f"; {mine.unexpected_s:.0f} s ago: {mine.unexpected}" if mine.is_unexpected_new else ""
    return Health(True, f"worker {worker}: last scan {mine.last_scan_s:.0f} s ago; {waits}{noticed}")


def _is_late(worker: Worker, scan_age_s: float, max_scan_age_s: float) -> bool:
    if not max_scan_age_s:
        return worker.is_late
    return scan_age_s > max_scan_age_s and (worker.state != Doing.READING or worker.is_late)


def _of_cron(worker: Worker, max_scan_age_s: float) -> str:
    """Return the option that cron needs, where a worker between two starts is judged as one that always runs."""
    is_resting = worker.state == NOT_RUNNING and not max_scan_age_s
    return "; if cron starts it: --max-scan-age-s, three times the interval between two starts" if is_resting else ""


def _why(worker: Worker | None) -> str:
    """Return the failure, unless the inbox was scanned since."""
    if worker is None or worker.failed_s is None:
        return ""
    is_over = worker.last_scan_s is not None and worker.last_scan_s < worker.failed_s
    return "" if is_over else f": {worker.failure}"
