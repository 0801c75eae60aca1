"""Read the files that a person names to `digitrec predict`; nothing is moved or written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digitrec import app, reading
from digitrec.clock import utc
from digitrec.records import Rendering, Row
from digitrec.settings import Settings


@dataclass(frozen=True, slots=True)
class Predicted:
    """The rows of the files that were read, and why the others were not."""

    rows: list[Row]
    rendering: Rendering
    unread: list[str]
    """Why a path could not be read, a sentence each."""


def predict(settings: Settings, paths: Sequence[Path]) -> Predicted:
    """Read these files now, touching no folder.

    Raises:
        ModelError: there is no usable model.
    """
    bundle = app.bundle_of(settings)
    reader = app.page_reader(bundle)
    threshold = bundle.threshold(settings.max_error)
    now = utc(time.time())
    rows: list[Row] = []
    unread: list[str] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as why:
            unread.append(f"{path} cannot be read: {why.strerror}")
            continue
        content = reading.interpret(data, settings.limits, reader)
        for one in reading.readings_of([content], threshold)[0]:
            rows.append(Row("", len(rows) + 1, str(path), content.sha256, len(data), now, "", "", one))
    return Predicted(rows, app.rendering(settings, bundle, threshold, now), unread)
