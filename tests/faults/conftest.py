"""A scene for each test, and the account at the end of the session."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.scene import ACCOUNTS, Account, Scene

_TOLD = "account"


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    before = len(ACCOUNTS)
    yield Scene(request.node.name.removeprefix("test_"), tmp_path)
    # With the report of the test: whoever prints the account may be another process.
    request.node.user_properties += [(_TOLD, asdict(one)) for one in ACCOUNTS[before:]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for found in terminalreporter.stats.values() for one in found if isinstance(one, pytest.TestReport)]
    found = [value for one in reports if one.when == "teardown" for name, value in one.user_properties if name == _TOLD]
    accounts = [Account(**one) for one in found]
    if not accounts:
        return
    terminalreporter.section("the account")
    for one in accounts:
        told = f"lost {one.lost}  doubled {one.doubled}  {one.name} {one.note}"
        terminalreporter.line(f"{one.files:7} files in {one.rows:7} rows out  {told}")
    totals = (sum(getattr(one, name) for one in accounts) for name in ("files", "rows", "lost", "doubled"))
    terminalreporter.line("{:7} files in {:7} rows out  lost {}  doubled {}  in all".format(*totals))
