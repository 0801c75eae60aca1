"""Define the meaning of each column, code and field for `tools.reference`.

A missing or obsolete key fails tests/tools/test_reference.py.
"""

COLUMNS = {
    "schema_version": "2. New columns are added at the end; any other change raises the version.",
    "batch_id": "Time of the claim (UTC), and eight random hexadecimal digits.",
    "row": "Row number in the batch, from 1.",
    "file": "Path below the inbox. Control characters and undecodable bytes "
    "become `%XX`; a leading `=`, `+`, `-`, `@` or `'` gets a `'` in front.",
    "group": "First folder below the inbox; empty for files directly in the inbox.",
    "page": "Page number, from 1.",
    "status": "`accepted`, `review` (the columns have the best guess) or `rejected` (no answer); in `corrected/` also "
    "`corrected` and `confirmed`. An illegible page is `review` with an empty `text` and `not_a_digit`.",
    "text": 'The numbers of the page in reading order, separated by spaces: "7", "39287", "21 37 65".',
    "digit": "The digit, if the page holds one digit and nothing else.",
    "confidence": "Probability that `text` is right, 0 to 1, six decimals.",
    "runner_up": "Second best answer.",
    "runner_up_confidence": "Its probability.",
    "digit_count": "Number of digits in `text`.",
    "reason_code": "Why it was not accepted: one of the [reason codes](codes.md#reason-codes).",
    "reason": "The reason in words, with details.",
    "duplicate_of": "`<batch>/<row>` of the first page with the same bytes.",
    "label": "True value, if it was known when the batch was recorded; `none` if there is no digit.",
    "format": "Format by content: `png`, `jpeg`, `pdf`, ...",
    "width": "Width of the upright page, in pixels.",
    "height": "Height of the upright page, in pixels.",
    "size_bytes": "Size of the file.",
    "sha256": "Digest of the file.",
    "received_at": "Time of the claim, UTC.",
    "processed_at": "Time when the batch was answered, UTC.",
    "model_id": "Model that answered.",
    "app_version": "Version of digitrec.",
    "number_count": "Number of numbers in `text`; each has a row in `BATCH.numbers.csv`.",
}
NUMBER_COLUMNS = {
    "number": "Index of the number on the page, from 1, in reading order.",
    "line": "Line on the page, from 1; in a ruled table the row of its cell.",
    "column": "Position in that line, from 1; in a ruled table the column of its cell.",
    "x": "Left edge of its box, in pixels of the upright page.",
    "y": "Upper edge of its box.",
    "width": "Width of its box.",
    "height": "Height of its box.",
    "text": 'The number as written: "7", "0650".',
    "confidence": "Probability that `text` is right, 0 to 1, six decimals.",
    "status": "Status of this number: `accepted` or `review`; in `corrected/` also `corrected` and `confirmed`.",
    "reason_code": "Why it was not accepted; empty if it was.",
}
"""Descriptions of the columns of the table of numbers; those before `number` are in the main table."""
DIGIT_COLUMNS = (
    {
        "index": "Index of the digit on the page, from 1, in reading order.",
        "x": "Left edge of its box, in pixels of the upright page.",
        "y": "Upper edge of its box.",
        "width": "Width of its box.",
        "height": "Height of its box.",
        "digit": "Most probable digit.",
        "confidence": "Its probability.",
    }
    | {f"p{digit}": f"Probability that it is a {digit}." for digit in range(10)}
    | {
        "number": "Number that it belongs to: `number` in `BATCH.numbers.csv`.",
    }
)
"""Descriptions of the columns of the digit table; columns of the main table are not repeated."""
EXPORT_COLUMNS = {
    "corrected_by": "Person who last corrected or confirmed the row, or judged it illegible.",
    "corrected_at": "Time, UTC.",
}
EXIT_CODES = {
    0: "Done, also when there was nothing to do.",
    1: "`verify` found a difference, `status --check` is unhealthy, `doctor` found a problem, "
    "`evaluate --min-accuracy` was missed, `predict` could read none of the files.",
    2: "Wrong usage, a package that is not installed, or a data set that cannot be used.",
    3: "Some files were rejected (only with `run --strict`).",
    74: "Disk, folder or ledger failed; claimed files are kept and finished by the next start. "
    "Also if the output is closed (`| head`).",
    75: "Another process works on this inbox with the same worker name.",
    78: "Settings or model cannot be used.",
    130: "Stopped by Ctrl-C (SIGINT).",
    143: "Stopped by SIGTERM, or by SIGHUP when its terminal is closed (`watch` ends with 0 then).",
}
HOOKS = {
    "on_batch": (
        "A batch is closed.",
        {
            "batch_id": "Id of the batch.",
            "csv": "Its table; empty if every file was deferred.",
            "accepted": "Number of accepted files.",
            "review": "Number of files in review.",
            "rejected": "Number of rejected files.",
            "deferred": "Number of deferred files; they stay in the inbox.",
            "released": "Same as `deferred`; until 1.0.",
        },
    ),
    "on_reject": (
        "A closed batch has rejected files.",
        {
            "batch_id": "Id of the batch.",
            "rejected": "Number of rejected files.",
            "files": "At most 100 of them, each with `file`, `reason_code` and `reason`.",
        },
    ),
    "on_failure": (
        "Disk, folder or model failed three times in a row, or `run` gave up; called again only after a success.",
        {"why": "Description of the failure.", "failures": "Failures in a row."},
    ),
}
COMMON_FIELDS = {
    "event": "`batch`, `reject` or `unhealthy`.",
    "at": "Time, UTC.",
    "workspace": "Folder of the workspace.",
    "worker": "Name of the worker.",
}
FIXES = {
    "low_confidence": "Check it with `digitrec review`. If most of your scans end here, see "
    "[Photograph and scan well](../photos.md) and [Own data and own model](../training.md).",
    "not_a_digit": "Check it: a letter, a scribble or a stamp. Press `x` if there is no digit.",
    "ambiguous_layout": "Check it. Crop the scan, or leave larger gaps between numbers.",
    "other_marks": "Check it: near the number there is something that could be writing. Confirm the number if "
    "that is all you need.",
    "turned": "Check it, or scan the page upright.",
    "empty_file": "Scan it again: the file was created and never filled.",
    "not_an_image": "Open the file: its content is neither a picture nor a PDF, whatever its name says.",
    "truncated": "Copy or scan it again. Let the scanner write `NAME.part` and rename it "
    "([why](../running.md#scanners-and-incomplete-files)).",
    "unsupported_format": "Save it as PNG, JPEG, TIFF or PDF. Unpack an archive into the inbox.",
    "too_large": "Scan at 200 to 300 dpi, split the document, or raise `max_bytes`, `max_pixels` or `max_pages`.",
    "encrypted": "Save the PDF without its password.",
    "blank": "None if the page is blank. Otherwise the writing is too pale or too small: scan it darker, at 200 dpi "
    "or more.",
    "io_error": "Copy it from its source again, and have the disk or share checked.",
    "crashes_reader": "Open it in a viewer and save it again; `digitrec requeue NAME` tries it once more. "
    "Please report it.",
}
