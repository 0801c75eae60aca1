"""A scene for each test, and the account at the end of the session."""

from pathlib import Path

import pytest

from tests.faults.scene import ACCOUNTS, Scene


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(request.node.name.removeprefix("test_"), tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ACCOUNTS:
        return
    terminalreporter.section("the account")
    for one in ACCOUNTS:
        told = f"lost {one.lost}  doubled {one.doubled}  {one.name} {one.note}"
        terminalreporter.line(f"{one.files:7} files in {one.rows:7} rows out  {told}")
    totals = (sum(getattr(one, name) for one in ACCOUNTS) for name in ("files", "rows", "lost", "doubled"))
    terminalreporter.line("{:7} files in {:7} rows out  lost {}  doubled {}  in all".format(*totals))
