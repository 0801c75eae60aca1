"""Times as people and CSVs read them."""

import time


def utc(now_s: float) -> str:
    """ISO 8601 with milliseconds and `Z`.

    >>> utc(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03d}Z"
