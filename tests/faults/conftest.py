"""A scene for each test, and the totals at the end of the session."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.scene import ACCOUNTS, Account, Scene

_PROPERTY = "account"


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    before = len(ACCOUNTS)
    yield Scene(request.node.name.removeprefix("test_"), tmp_path)
    # In the report of the test: with pytest-xdist another process prints the totals.
    request.node.user_properties += [(_PROPERTY, asdict(account)) for account in ACCOUNTS[before:]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    results = [result for results in terminalreporter.stats.values() for result in results]
    reports = [result for result in results if isinstance(result, pytest.TestReport) and result.when == "teardown"]
    properties = [pair for report in reports for pair in report.user_properties]
    accounts = [Account(**value) for name, value in properties if name == _PROPERTY]
    if not accounts:
        return
    terminalreporter.section("the account")
    for account in accounts:
        summary = f"lost {account.lost}  doubled {account.doubled}  {account.name} {account.note}"
        terminalreporter.line(f"{account.files:7} files in {account.rows:7} rows out  {summary}")
    totals = (sum(getattr(account, name) for account in accounts) for name in ("files", "rows", "lost", "doubled"))
    terminalreporter.line("{:7} files in {:7} rows out  lost {}  doubled {}  in all".format(*totals))
