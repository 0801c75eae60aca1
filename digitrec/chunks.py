"""How many files are read by one call."""

from collections.abc import Iterable, Iterator

from digitrec.records import Claim

_FILES = 16
_SMALL_BYTES = 1 << 16
"""A larger file, a photo or a whole sheet, takes longer: it counts as two."""


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
