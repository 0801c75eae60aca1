"""The scan decides: groups of complete files, as they come (`groups`) or as they are there now (`once`)."""

import itertools
import time
from collections.abc import Callable, Iterator

from digitrec.pipeline.observing import Bell, Observer
from digitrec.pipeline.scanner import Seen
from digitrec.pipeline.settling import Settling

_CLOSEST_S = 0.5
_DEBOUNCE_S = 0.2


def groups(
    look: Callable[[], Iterator[Seen]],
    settling: Settling,
    observer: Observer,
    bell: Bell,
    *,
    stopped: Callable[[], bool],
    scan_interval_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[list[Seen]]:
    """Yield complete files in groups of at most `batch_files`, an empty list after a look that found none.

    Looks when the bell rings, when the next file may be complete, and every `scan_interval_s` regardless;
    never more often than twice a second, nor than twice the time a look takes.

    Args:
        look: lists the inbox.
        settling: remembers what was seen.
        observer: is started before the first look, so that nothing falls between.
        bell: is rung by it.
        stopped: asked between any two steps.
        scan_interval_s: longest time between two looks, seconds.
        batch_files: most files in a group.
        clock: monotonic time, seconds.
        wall_ns: nanoseconds since 1970, by the clock that the times of the files are of.

    Raises:
        OSError: the inbox cannot be listed.
    """
    while not stopped():
        observer.keep_alive()
        began_s = clock()
        settled = _settled(look(), settling, began_s, wall_ns)
        closest_s = max(_CLOSEST_S, 2 * (clock() - began_s))
        for group in _batched(settled, batch_files):
            settling.forget(seen.path for seen in group)
            yield group
            if stopped():
                return
        if not settled:
            yield []
        next_at_s = settling.next_at_s()
        due_s = began_s + scan_interval_s if next_at_s is None else min(began_s + scan_interval_s, next_at_s)
        if bell.wait(max(due_s, began_s + closest_s) - clock()) and not stopped():
            # A picture rarely comes alone: let its company arrive.
            pause_s = max(_DEBOUNCE_S, began_s + closest_s - clock())
            _rest(pause_s, stopped, clock)


def once(
    look: Callable[[], Iterator[Seen]],
    settling: Settling,
    bell: Bell,
    *,
    stopped: Callable[[], bool],
    wait_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[Iterator[list[Seen]]]:
    """Yield what is there at the first look, as it becomes complete; wait at most `wait_s` for that.

    The groups of one look come together: none of them has to be waited for. Arguments and errors are those of `groups`.
    """

    def grouped(settled: list[Seen]) -> Iterator[list[Seen]]:
        for group in _batched(settled, batch_files):
            settling.forget(seen.path for seen in group)
            yield group
            if stopped():
                return

    deadline_s = clock() + wait_s
    is_first = True
    while not stopped():
        settled = _settled(look(), settling, clock(), wall_ns, trust_old=is_first, newcomers=is_first)
        is_first = False
        if settled:
            yield grouped(settled)
        if stopped():
            return
        next_at_s = settling.next_at_s()
        if next_at_s is None or next_at_s > deadline_s:
            return
        bell.wait(next_at_s - clock())


def _settled(
    found: Iterator[Seen],
    settling: Settling,
    now_s: float,
    wall_ns: Callable[[], int],
    *,
    trust_old: bool = False,
    newcomers: bool = True,
) -> list[Seen]:
    """Take one look; the clock is asked only if something lies there: that may write to a disk that would sleep."""
    first = next(found, None)
    if first is None:
        return settling.look((), now_s, 0)
    return settling.look(itertools.chain((first,), found), now_s, wall_ns(), trust_old=trust_old, newcomers=newcomers)


def _rest(pause_s: float, stopped: Callable[[], bool], clock: Callable[[], float]) -> None:
    # Not on the bell: a storm of events would wake us for each.
    until_s = clock() + pause_s
    while not stopped() and (left_s := until_s - clock()) > 0:
        time.sleep(min(left_s, 0.1))


def _batched(seen: list[Seen], size: int) -> Iterator[list[Seen]]:
    seen.sort()
    each = iter(seen)
    while group := list(itertools.islice(each, size)):
        yield group
