"""Convert records to the JSON of the pages' scripts, and parse and check incoming JSON and query parameters."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from digitrec.errors import UsageError
from digitrec.review import queries
from digitrec.review.characters import NumberKey, find_doubtful_digit
from digitrec.review.page_images import find_number_box, find_thumbnail_box, find_zoom_box
from digitrec.review.queries import START, Entry, Filter, Key, State
from digitrec.storage.corrections import ILLEGIBLE, NONE, Correction, ReviewMethod, Verdict
from digitrec.storage.judgements import Judgement, is_text
from digitrec.text import BATCH_ID, escape
from digitrec.types import Box, PageStatus

Json: TypeAlias = dict[str, Any]

MAX_JUDGEMENTS = 500
_MAX_ROW = 2**31
_MAX_FILE_LENGTH = 400
_HOWS = [ReviewMethod.ONE, ReviewMethod.GRID, ReviewMethod.AUDIT]
"""A list, not a set: an incoming value may be unhashable."""


def entry_to_json(entry: Entry) -> Json:
    """Return an answer as JSON; names are escaped as in the CSV."""
    row, read = entry.row, entry.row.reading
    zoom_box, thumbnail_box = find_zoom_box(row), find_thumbnail_box(row)
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
        "numbers": [number_to_json(entry, position) for position in range(1, len(read.numbers) + 1)],
        "boxes": [[*box_to_json(digit.box), digit.digit, round(digit.confidence, 6)] for digit in read.digits],
        "near": box_to_json(zoom_box) if zoom_box else None,
        "part": box_to_json(thumbnail_box) if thumbnail_box else None,
        "label": escape(row.label),
        "duplicate_of": row.duplicate_of,
        "seen": entry.newest.id if entry.newest else 0,
        "said": correction_to_json(entry.newest),
    }


def number_to_json(entry: Entry, position: int) -> Json:
    """Return a number of an answer as JSON, with the index and the box of its least certain digit."""
    number = entry.row.reading.numbers[position - 1]
    doubt = find_doubtful_digit(number)
    return {
        "number": position,
        "line": number.line,
        "column": number.column,
        "box": box_to_json(number.box),
        "text": number.text,
        "confidence": number.confidence,
        "status": number.status,
        "reason": number.reason,
        "why": number.reason.description if number.reason else "",
        "said": correction_to_json(entry.of_numbers.get(position)),
        "doubt": {"at": doubt.index, "box": box_to_json(doubt.digit.box)} if doubt else None,
    }


def listed_number_to_json(entry: Entry, position: int) -> Json:
    """Return a number of a list of numbers as JSON, with what its tile needs of its page."""
    row, read = entry.row, entry.row.reading
    part = find_number_box(row, position)
    return number_to_json(entry, position) | {
        "batch": row.batch_id,
        "row": row.row,
        "file": escape(row.path),
        "page": read.page,
        "width": read.width,
        "height": read.height,
        "part": box_to_json(part) if part else None,
        "seen": entry.newest.id if entry.newest else 0,
    }


def correction_to_json(correction: Correction | None) -> Json | None:
    """Return a judgement as JSON; None if there is none or it was withdrawn."""
    if correction is None or correction.verdict is Verdict.WITHDRAWN:
        return None
    return {
        "who": correction.reviewer,
        "at": correction.reviewed_at,
        "verdict": correction.verdict,
        "new": correction.new,
    }


def row_state_to_json(batch_id: str, row: int, correction: Correction | None) -> Json:
    """Return the current judgement of a row as JSON."""
    seen = correction.id if correction else 0
    return {"batch": batch_id, "row": row, "seen": seen, "said": correction_to_json(correction)}


def parse_filter(query: Mapping[str, str]) -> Filter:
    """Parse the filter in the query of an address; raises UsageError for an invalid value."""
    status, text, batch = query.get("status", ""), query.get("text", ""), query.get("batch", "").strip()
    state, file = query.get("state", State.OPEN), query.get("file", "").strip()
    if status not in {"", "accepted", "review", "rejected"}:
        raise UsageError("status is accepted, review or rejected")
    if state not in set(State):
        raise UsageError(f"state is one of {', '.join(State)}")
    if text not in {queries.NUMBERS, queries.NO_DIGIT, queries.NOTHING} and not (text == "" or is_text(text)):
        raise UsageError("text may hold numbers only")
    if batch and not BATCH_ID.fullmatch(batch):
        raise UsageError("batch is not a batch id")
    if len(file) > _MAX_FILE_LENGTH:
        raise UsageError("the file name is too long")
    return Filter(PageStatus(status) if status else None, State(state), text, batch, file)


def parse_key(text: str) -> Key:
    """Parse the position in a list that `format_key` wrote; an empty text is the start.

    >>> parse_key(format_key((0.1 + 0.2, "20260102T030405Z-0a1b2c3d", 7)))
    (0.30000000000000004, '20260102T030405Z-0a1b2c3d', 7)
    """
    if not text:
        return START
    confidence, _, rest = text.partition(",")
    batch_id, _, row = rest.partition(",")
    try:
        key = float(confidence), batch_id, int(row)
    except ValueError:
        raise UsageError("this list has no such position") from None
    if not BATCH_ID.fullmatch(batch_id) or not 0 <= key[0] <= 2 or not 0 <= key[2] < _MAX_ROW:
        raise UsageError("this list has no such position")
    return key


def parse_number_key(text: str) -> NumberKey | None:
    """Parse the position in a list of numbers that `format_key` wrote; None for an empty text."""
    if not text:
        return None
    key, _, number = text.rpartition(",")
    position = parse_whole_number(number)
    if not key or position is None:
        raise UsageError("this list has no such position")
    return (*parse_key(key), position)


def format_key(key: Key | NumberKey) -> str:
    """Format the position of an answer or a number in a list."""
    return ",".join([repr(key[0]), *map(str, key[1:])])


def parse_judgements(body: object) -> tuple[ReviewMethod, list[Judgement]]:
    """Parse {"how": "one", "judgements": [{"batch", "row", "new", "seen"}]}; raises UsageError for anything else.

    A judgement on a number of a page has its `number`, too.
    """
    if not isinstance(body, dict) or set(body) != {"how", "judgements"} or body["how"] not in _HOWS:
        raise UsageError("the request needs judgements, and how: one, grid or audit")
    return ReviewMethod(body["how"]), [_parse_judgement(item) for item in _check_list(body["judgements"])]


def parse_undo(body: object) -> dict[Judgement, int]:
    """Parse {"entries": [{"batch", "row", "seen"}]}, the judgements to undo; raises UsageError for anything else.

    An entry that undoes an earlier change than the latest one has the id of that `change`, too.
    """
    if not isinstance(body, dict) or set(body) != {"entries"}:
        raise UsageError("the request needs entries")
    changes = {}
    for item in _check_list(body["entries"]):
        has_change = isinstance(item, dict) and "change" in item
        batch_id, row, seen = _parse_row(item, {"batch", "row", "seen"} | ({"change"} if has_change else set()))
        change = item.get("change", 0) if isinstance(item, dict) else 0
        if type(change) is not int or not 0 <= change <= seen:
            raise UsageError("change is the id of an entry of the row")
        changes[Judgement(batch_id, row, None, seen)] = change
    return changes


def is_row_id(batch_id: str, row: int) -> bool:
    """Return whether batch id and row number are valid."""
    return BATCH_ID.fullmatch(batch_id) is not None and 1 <= row < _MAX_ROW


def parse_whole_number(text: str) -> int | None:
    """Parse a whole number of at most nine digits; None for any other text.

    >>> parse_whole_number("007"), parse_whole_number("-1"), parse_whole_number("9" * 5000)
    (7, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def box_to_json(box: Box) -> list[int]:
    """Return x, y, width and height."""
    return [box.x, box.y, box.width, box.height]


def _parse_judgement(item: object) -> Judgement:
    has_number = isinstance(item, dict) and "number" in item
    batch_id, row, seen = _parse_row(item, {"batch", "row", "new", "seen"} | ({"number"} if has_number else set()))
    assert isinstance(item, dict)
    new, number = item["new"], item.get("number", 0)
    if not (new is None or (isinstance(new, str) and (new in {NONE, ILLEGIBLE} or is_text(new)))):
        raise UsageError("new holds numbers, 'none', 'illegible', or null for not sure")
    if type(number) is not int or not has_number <= number < _MAX_ROW:
        raise UsageError("number is a whole number from 1")
    return Judgement(batch_id, row, new, seen, number)


def _parse_row(item: object, fields: set[str]) -> tuple[str, int, int]:
    if not isinstance(item, dict) or set(item) != fields:
        raise UsageError(f"each item needs the keys {', '.join(sorted(fields))}")
    batch_id, row, seen = item["batch"], item["row"], item["seen"]
    # type(): a bool is an instance of int.
    if not isinstance(batch_id, str) or type(row) is not int or type(seen) is not int:
        raise UsageError("batch is a text, row and seen are whole numbers")
    if not is_row_id(batch_id, row) or not 0 <= seen < 2**63:
        raise UsageError("there is no such row")
    return batch_id, row, seen


def _check_list(items: object) -> Iterable[object]:
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_JUDGEMENTS:
        raise UsageError(f"a request holds 1 to {MAX_JUDGEMENTS} items")
    return items
