"""Records <-> JSON, as the pages and their scripts say it. What comes in is checked to the last field."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from digitrec.errors import UsageError
from digitrec.review import queries
from digitrec.review.page_images import find_zoom_box
from digitrec.review.queries import START, Entry, Filter, Key, State
from digitrec.storage.corrections import NONE, Correction, Judgement, ReviewMethod, Verdict
from digitrec.text import BATCH_ID, escape
from digitrec.types import Box, PageStatus

Json: TypeAlias = dict[str, Any]

MAX_JUDGEMENTS = 500
_LARGEST_ROW = 2**31
_LONGEST_FILE = 400
_LONGEST_TEXT = 1000
_HOWS = [ReviewMethod.ONE, ReviewMethod.GRID, ReviewMethod.AUDIT]
"""A list: what comes in may have no hash."""


def entry_to_json(entry: Entry) -> Json:
    """An answer for a page; names are escaped as in the CSV, and are still data."""
    row, read = entry.row, entry.row.reading
    part = find_zoom_box(row)
    return {
        "batch": row.batch_id,
        "row": row.row,
        "file": escape(row.path),
        "page": read.page,
        "status": read.status,
        "text": read.text,
        "confidence": read.confidence,
        "runner_up": read.runner_up,
        "runner_up_confidence": read.runner_up_confidence,
        "reason": read.reason,
        "why": escape(read.detail or (read.reason.description if read.reason else "")),
        "width": read.width,
        "height": read.height,
        "boxes": [[*_box(one.box), one.digit, round(one.confidence, 6)] for one in read.digits],
        "near": _box(part) if part else None,
        "label": escape(row.label),
        "duplicate_of": row.duplicate_of,
        "seen": entry.newest.id if entry.newest else 0,
        "said": correction_to_json(entry.newest),
    }


def correction_to_json(said: Correction | None) -> Json | None:
    """What a person said of an answer; None if nobody did, or it was withdrawn."""
    if said is None or said.verdict is Verdict.WITHDRAWN:
        return None
    return {"who": said.reviewer, "at": said.reviewed_at, "verdict": said.verdict, "new": said.new}


def row_state_to_json(batch_id: str, row: int, said: Correction | None) -> Json:
    """What holds of a row now."""
    return {"batch": batch_id, "row": row, "seen": said.id if said else 0, "said": correction_to_json(said)}


def parse_filter(asked: Mapping[str, str]) -> Filter:
    """The filter in the query of an address; UsageError if it makes no sense."""
    status, text, batch = asked.get("status", ""), asked.get("text", ""), asked.get("batch", "").strip()
    state, file = asked.get("state", State.OPEN), asked.get("file", "").strip()
    if status not in {"", "accepted", "review", "rejected"}:
        raise UsageError("status is accepted, review or rejected")
    if state not in set(State):
        raise UsageError(f"state is one of {', '.join(State)}")
    if text not in {queries.NUMBERS, queries.NO_DIGIT, queries.NOTHING} and not (text == "" or is_digits(text)):
        raise UsageError("text is made of digits")
    if batch and not BATCH_ID.fullmatch(batch):
        raise UsageError("this is no batch")
    if len(file) > _LONGEST_FILE:
        raise UsageError("no file has such a name")
    return Filter(PageStatus(status) if status else None, State(state), text, batch, file)


def parse_key(text: str) -> Key:
    """Where a page of a list begins, as `format_key` wrote it; the start for an empty text."""
    if not text:
        return START
    sureness, _, rest = text.partition(",")
    batch_id, _, row = rest.partition(",")
    try:
        key = float(sureness), batch_id, int(row)
    except ValueError:
        raise UsageError("this list has no such place") from None
    if not BATCH_ID.fullmatch(batch_id) or not 0 <= key[0] <= 2 or not 0 <= key[2] < _LARGEST_ROW:
        raise UsageError("this list has no such place")
    return key


def format_key(key: Key) -> str:
    """The place of an answer in a list.

    >>> key_from(key_text((0.1 + 0.2, "20260102T030405Z-0a1b2c3d", 7)))
    (0.30000000000000004, '20260102T030405Z-0a1b2c3d', 7)
    """
    return f"{key[0]!r},{key[1]},{key[2]}"


def parse_judgements(body: object) -> tuple[ReviewMethod, list[Judgement]]:
    """What a person said, and where: {"how": "one", "judgements": [{"batch", "row", "new", "seen"}]}.

    Raises:
        UsageError: it is anything else.
    """
    if not isinstance(body, dict) or set(body) != {"how", "judgements"} or body["how"] not in _HOWS:
        raise UsageError("judgements say how they were made: one, grid or audit")
    return ReviewMethod(body["how"]), [_judgement(one) for one in _list(body["judgements"])]


def parse_undo(body: object) -> list[tuple[str, int, int]]:
    """Batch, row and entry of what is to be undone: {"entries": [{"batch", "row", "seen"}]}."""
    if not isinstance(body, dict) or set(body) != {"entries"}:
        raise UsageError("name the entries")
    return [_place(one, {"batch", "row", "seen"}) for one in _list(body["entries"])]


def is_row_id(batch_id: str, row: int) -> bool:
    """True for what may name a row."""
    return BATCH_ID.fullmatch(batch_id) is not None and 1 <= row < _LARGEST_ROW


def parse_whole_number(text: str) -> int | None:
    """Return the whole number that a text writes with at most nine digits; None if it does not.

    >>> whole("007"), whole("-1"), whole("9" * 5000)
    (7, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def is_digits(text: str) -> bool:
    """True for digits, and not endlessly many."""
    return text.isascii() and text.isdecimal() and len(text) <= _LONGEST_TEXT


def _judgement(one: object) -> Judgement:
    batch_id, row, seen = _place(one, {"batch", "row", "new", "seen"})
    assert isinstance(one, dict)
    new = one["new"]
    if not (new is None or (isinstance(new, str) and (new == NONE or is_digits(new)))):
        raise UsageError("what is there is digits, 'none', or null for not sure")
    return Judgement(batch_id, row, new, seen)


def _place(one: object, fields: set[str]) -> tuple[str, int, int]:
    if not isinstance(one, dict) or set(one) != fields:
        raise UsageError(f"each has {', '.join(sorted(fields))}")
    batch_id, row, seen = one["batch"], one["row"], one["seen"]
    # type(): a bool is an int, but no number.
    if not isinstance(batch_id, str) or type(row) is not int or type(seen) is not int:
        raise UsageError("batch is a text, row and seen are whole numbers")
    if not is_row_id(batch_id, row) or not 0 <= seen < 2**63:
        raise UsageError("there is no such row")
    return batch_id, row, seen


def _list(found: object) -> Iterable[object]:
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_JUDGEMENTS:
        raise UsageError(f"1 to {MAX_JUDGEMENTS} at a time")
    return found


def _box(box: Box) -> list[int]:
    return [box.x, box.y, box.width, box.height]
