"""Batch ids: `YYYYMMDDTHHMMSSZ-xxxxxxxx`, UTC for people, 32 random bits for uniqueness."""

import calendar
import re
import secrets
import time

from digitrec.clock import utc

BATCH_ID = re.compile(r"[12][0-9]{3}(?:0[1-9]|1[0-2])[0-9]{2}T[0-9]{6}Z-[0-9a-f]{8}")

LENGTH = 25
"""Letters of an id."""


def new(now_s: float) -> str:
    """An id for a batch that is opened now, seconds since 1970."""
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime(now_s)) + secrets.token_hex(4)


def opened_s(batch_id: str) -> int:
    """When the batch was opened, seconds since 1970.

    >>> opened_s("20260102T030405Z-00000000")
    1767323045
    """
    date, clock = batch_id[:8], batch_id[9:15]
    # Not strptime: a folder named like the 31st of February is still no reason to fail.
    parts = (date[:4], date[4:6], date[6:8], clock[:2], clock[2:4], clock[4:6])
    return calendar.timegm(tuple(map(int, parts)))


def opened_at(batch_id: str) -> str:
    """When the batch was opened, ISO 8601.

    >>> opened_at("20260102T030405Z-00000000")
    '2026-01-02T03:04:05.000Z'
    """
    return utc(opened_s(batch_id))
