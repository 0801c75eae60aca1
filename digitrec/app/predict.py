"""Read the files that a person names to `digitrec predict`; nothing is moved or written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from digitrec.app import composition
from digitrec.pipeline import read_files
from digitrec.settings import Settings
from digitrec.text import utc
from digitrec.types import Rendering, Row


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
    bundle = composition.bundle_of(settings)
    reader = composition.page_reader(bundle)
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
        content = read_files.read_bytes(data, settings.limits, reader)
        for one in read_files.decide_readings([content], threshold)[0]:
            rows.append(Row("", len(rows) + 1, str(path), content.sha256, len(data), now, "", "", one))
    return Predicted(rows, composition.rendering(settings, bundle, threshold, now), unread)
