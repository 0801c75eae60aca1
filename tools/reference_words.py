"""What the code does not say itself: the meaning of each column, code and field, for `tools.reference`.

A key that is missing here, or is not in the code any more, fails tests/tools/test_reference.py.
"""

COLUMNS = {
    "schema_version": "2. Columns are only ever added at the end; anything else raises it.",
    "batch_id": "Which batch: when it was claimed (UTC), and eight random hexadecimal digits.",
    "row": "The row in the batch, from 1.",
    "file": "Path under the inbox. Odd characters as `%XX`; a leading `=`, `+`, `-`, `@` or `'` behind a `'`.",
    "group": "Its first folder under the inbox; empty if it lay in the inbox itself.",
    "page": "From 1.",
    "status": "`accepted`, `review` (look at it; the columns hold the best guess), `rejected` (no answer); in "
    "`corrected/` also `corrected` and `confirmed`; judged illegible: `review`, an empty `text` and `not_a_digit`.",
    "text": 'The numbers of the page in reading order, one space between them: "7", "39287", "21 37 65".',
    "digit": "The digit, if the page holds one digit and nothing else.",
    "confidence": "How probable it is that `text` is right, 0 to 1, six decimals.",
    "runner_up": "The next best answer.",
    "runner_up_confidence": "How probable that one is.",
    "digit_count": "How many digits `text` has.",
    "reason_code": "Why it was not accepted: one of the [reason codes](codes.md#reason-codes).",
    "reason": "The same in words, with details.",
    "duplicate_of": "`<batch>/<row>` of the first page with the same bytes.",
    "label": "The truth, where it was known when the batch was recorded; `none` where there is no digit.",
    "format": "What the file is by its content: `png`, `jpeg`, `pdf`, ...",
    "width": "Of the page, in pixels as a person sees it.",
    "height": "The same.",
    "size_bytes": "Of the file.",
    "sha256": "Of the file.",
    "received_at": "When it was claimed, UTC.",
    "processed_at": "When its batch was answered, UTC.",
    "model_id": "Which model answered.",
    "app_version": "Which version of digitrec.",
    "number_count": "How many numbers `text` has; one row each in `BATCH.numbers.csv`.",
}
NUMBER_COLUMNS = {
    "number": "Which number of the page, from 1, in reading order.",
    "line": "The line of the page from 1, as laid out; in a ruled table the row of its cell.",
    "column": "The position in that line from 1; in a ruled table the column of its cell.",
    "x": "Left edge of its box, in pixels of the page as a person sees it.",
    "y": "Upper edge.",
    "width": "Of the box.",
    "height": "Of the box.",
    "text": 'The number as written: "7", "0650".',
    "confidence": "How probable it is that `text` is right, 0 to 1, six decimals.",
    "status": "`accepted` or `review`; each number has its own. In `corrected/` also `corrected` and `confirmed`.",
    "reason_code": "Why it was not accepted; empty if it was.",
}
"""Descriptions of the columns of the table of numbers; those before `number` are in the main table."""
DIGIT_COLUMNS = (
    {
        "index": "Which digit of the page, from 1, in reading order.",
        "x": "Left edge of its box, in pixels of the page as a person sees it.",
        "y": "Upper edge.",
        "width": "Of the box.",
        "height": "Of the box.",
        "digit": "The most probable one.",
        "confidence": "Its probability.",
    }
    | {f"p{digit}": f"Probability that it is a {digit}." for digit in range(10)}
    | {
        "number": "Which number of the page it belongs to: `number` in `BATCH.numbers.csv`.",
    }
)
"""Descriptions of the columns of the digit table; columns of the main table are not repeated."""
EXPORT_COLUMNS = {
    "corrected_by": "Who settled the row last: corrected, confirmed or judged it illegible.",
    "corrected_at": "When, UTC.",
}
EXIT_CODES = {
    0: "Done, also when there was nothing to do.",
    1: "`verify` found a difference, `status --check` is unhealthy, `doctor` found a fault, `evaluate --min-accuracy` "
    "was missed, `predict` could read none of the files.",
    2: "Wrong usage, a package that is not installed, or a data set that cannot be used.",
    3: "Some files were rejected (only with `run --strict`).",
    74: "Disk, folder or ledger failed; claimed files are kept and finished by the next start. "
    "Or nobody reads what the command prints (`| head`).",
    75: "Another process works on this inbox as this worker.",
    78: "Settings or model cannot be used.",
    130: "Stopped by Ctrl-C (SIGINT).",
    143: "Stopped by SIGTERM, or by SIGHUP when its terminal is closed (`watch` ends with 0 then).",
}
HOOKS = {
    "on_batch": (
        "A batch is closed.",
        {
            "batch_id": "Which.",
            "csv": "Its table; empty if every file was deferred.",
            "accepted": "So many of its files were accepted.",
            "review": "So many wait for a person.",
            "rejected": "So many have no answer.",
            "deferred": "So many stay in the inbox and are tried again.",
            "released": "The same number as `deferred`; until 1.0.",
        },
    ),
    "on_reject": (
        "A closed batch has rejected files.",
        {
            "batch_id": "Which.",
            "rejected": "How many.",
            "files": "At most 100 of them, each with `file`, `reason_code` and `reason`.",
        },
    ),
    "on_failure": (
        "Disk, folder or model failed three times in a row, or `run` gave up; again only after it has worked.",
        {"why": "What failed.", "failures": "How often in a row."},
    ),
}
COMMON_FIELDS = {
    "event": "`batch`, `reject` or `unhealthy`.",
    "at": "When, UTC.",
    "workspace": "Which folder.",
    "worker": "Who.",
}
FIXES = {
    "low_confidence": "Look at it: `digitrec review`. If most of your scans end here, see "
    "[your own data](../howto/data.md).",
    "not_a_digit": "Look at it. A letter, a scribble, a stamp: press `x` if there is no digit.",
    "ambiguous_layout": "Look at it. Scan less of the page, or one number a page.",
    "other_marks": "Look at it: beside the number there is something that could be writing. Type the number if that is "
    "all that counts.",
    "turned": "Look at it, turned. Scan it the right way up, or type the numbers.",
    "empty_file": "Scan it again; the writer made the file and never filled it.",
    "not_an_image": "Open it yourself: by its content it is no picture and no PDF, whatever its name says.",
    "truncated": "Copy or scan it again. Have the scanner write `NAME.part` and rename it "
    "([why](../howto/scanner.md)).",
    "unsupported_format": "Save it as PNG, JPEG, TIFF or PDF. Unpack an archive into the inbox.",
    "too_large": "Scan at 200 to 300 dots an inch, split the document, or raise `max_bytes`, `max_pixels` or "
    "`max_pages`.",
    "encrypted": "Save the PDF without its password.",
    "blank": "Nothing to do if the page is blank. Else it is too faint or too small: scan it darker, at 200 dots an "
    "inch or more.",
    "io_error": "Copy it from its source again, and have the disk or share checked.",
    "crashes_reader": "Open it in a viewer and save it again; `digitrec requeue NAME` tries it once more. "
    "Please report it.",
}
