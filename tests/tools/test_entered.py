"""The count of functions that one run enters."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_entered_lists_and_counts_the_functions_of_a_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.entered", "--list"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    counts, *functions = done.stdout.splitlines()
    names = [line.partition(" ")[0] for line in functions]
    files = {place.partition(":")[0] for place in names}

    assert counts == f"{len(files)} files, {len(functions)} functions"
    assert len(set(functions)) == len(functions)
    assert 30 < len(files) < len(functions)
    for line in (line for line in functions if ".py:" in line):
        place, name = line.split(" ")
        file, _, number = place.partition(":")
        source = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(number) - 1 :]
        assert any(f"def {name.rpartition('.')[2]}(" in text for text in source[:8]), line
