"""Commands called as a person calls them, in this process."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from digitrec import cli
from tests.conftest import Desk


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Say = Callable[..., Said]


@pytest.fixture
def say(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Run a command in the desk's workspace; gives its exit code and what it printed."""
    logger = logging.getLogger("digitrec")
    before = (list(logger.handlers), logger.propagate, logger.level)

    def say(*words: str, workspace: Path = desk.root) -> Said:
        monkeypatch.setattr(sys, "argv", ["digitrec", *words, "--workspace", str(workspace)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        assert isinstance(code, int)
        return Said(code, *capsys.readouterr())

    yield say
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
