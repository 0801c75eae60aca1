"""Fixtures for tests that train."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from digitrec.training import sequence_recognizer


@pytest.fixture(scope="module")
def small_line_batches() -> Iterator[None]:
    """Train the sequence recognizer on batches of 8 lines, as the lines of every width fill their last batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_recognizer, "PARAMS", replace(sequence_recognizer.PARAMS, batch=8))
        yield
