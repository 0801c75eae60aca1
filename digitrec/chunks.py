"""How many files are read by one call, and how many of these side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from digitrec.records import Claim

_FILES = 16
_SMALL_BYTES = 1 << 16
"""A larger file, a photo or a whole sheet, takes longer: it counts as two."""
_MOST_BYTES = 1 << 20
"""Files are held side by side up to so many bytes; a larger one is read alone."""

T = TypeVar("T")


def chunked(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    """What one call reads: so many small files, or half as many larger ones."""
    chunk: list[Claim] = []
    count = 0
    for claim in claims:
        chunk.append(claim)
        count += 2 if claim.size > _SMALL_BYTES else 1
        if count >= _FILES:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def together(files: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """What is read side by side, which takes less time: as many files in a row as there is room for; none of no files.

    >>> [*together([400_000, 500_000, 300_000, 2_000_000, 7], int)]
    [[400000, 500000], [300000], [2000000], [7]]
    """
    start = size = 0
    for place, file in enumerate(files):
        own = size_of(file)
        if place > start and size + own > _MOST_BYTES:
            yield files[start:place]
            start, size = place, 0
        size += own
    if start < len(files):
        yield files[start:]
