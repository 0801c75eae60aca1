"""A real browser at the real command, and what tests and benchmarks do with it."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    """Path of a Chromium; None if none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def served(workspace: Path, *options: str) -> Iterator[str]:
    """`digitrec review` over a workspace; gives the address that lets one person in."""
    command = [sys.executable, "-m", "digitrec", "review", "--no-browser", "--workspace", str(workspace), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            match = re.search(r"http://\S+", running.stdout.readline())
            assert match, "it printed no address"
            yield match[0]
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(20)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; without its sandbox, which needs rights that containers do not give."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
