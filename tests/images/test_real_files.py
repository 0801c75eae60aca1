"""Odd files from the world, where the machine has some: DIGITREC_REAL names a folder of folders of pictures."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from digitrec.errors import RejectedImage
from digitrec.types import Limits
from tests.drawing import read_pages

REAL = os.environ.get("DIGITREC_REAL")


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="DIGITREC_REAL names no folder of real pictures")
def test_every_real_file_gives_pages_or_a_reason_in_good_time() -> None:
    outcomes: Counter[str] = Counter()
    for path in sorted(Path(str(REAL)).rglob("*.*")):
        if path.suffix == ".csv" or not path.is_file():
            continue
        begun_s = time.monotonic()
        try:
            pages = read_pages(path.read_bytes(), Limits())
        except RejectedImage as why:
            outcomes[why.reason] += 1
        else:
            outcomes.update(str(page.reason or "read") for page in pages)
        assert time.monotonic() - begun_s < 20, path

    assert outcomes["read"] > 0
