"""`digitrec review`: what it prints, where it listens, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from http.client import HTTPConnection
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from digitrec.app.review import open_listening_socket
from digitrec.errors import UsageError
from tests.conftest import DEFAULT_SIGNALS, in_folder
from tests.review import browser
from tests.review.conftest import BATCH, Answer, Opens


@pytest.mark.slow
def test_before_anything_was_read_it_says_so(tmp_path: Path) -> None:
    done = in_folder(tmp_path, "review", "--no-browser")

    assert done.returncode == 2
    assert "nothing was read" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_serve_needs_a_workspace_but_no_answers(tmp_path: Path) -> None:
    done = in_folder(tmp_path, "serve", "--no-browser")
    assert done.returncode == 2
    assert "is no workspace" in done.stderr
    assert list(tmp_path.iterdir()) == []

    assert in_folder(tmp_path, "init").returncode == 0
    command = [sys.executable, "-m", "digitrec", "serve", "--no-browser", "--port", "0", "--workspace", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+", running.stdout.readline())
        assert match
        assert "access-token" in running.stdout.readline()
        token = (tmp_path / ".digitrec" / "access-token").read_text().strip()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with opener.open(f"{match[0]}/enter?token={token}", timeout=20) as page:
            assert "Drop files" in page.read().decode()
        with opener.open(f"{match[0]}/api/home", timeout=20) as state:
            assert json.loads(state.read())["days"] == []
        with urllib.request.urlopen(f"{match[0]}/metrics", timeout=20) as metrics:
            assert "digitrec_files_waiting 0.0" in metrics.read().decode()
        running.send_signal(signal.SIGTERM)
        running.wait(20)

    assert running.returncode == 143


def test_it_listens_on_this_machine_only_and_says_if_a_port_is_taken() -> None:
    with open_listening_socket(0) as door:
        host, port = door.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            open_listening_socket(port)


@pytest.mark.slow
def test_a_hundred_megabytes_are_refused_without_being_read(opened: Opens) -> None:
    pages = opened([Answer()])
    with browser.served(pages.settings.workspace) as address:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies := CookieJar()))
        opener.open(address, timeout=20).close()
        (cookie,) = cookies
        host = address.split("/")[2]
        connection = HTTPConnection(host, timeout=20)
        connection.putrequest("POST", "/api/try")
        for name, value in (
            ("Cookie", f"{cookie.name}={cookie.value}"),
            ("Origin", f"http://{host}"),
            ("Content-Length", str(100_000_000)),
        ):
            connection.putheader(name, value)
        connection.endheaders(b"x")  # and not a byte more
        answer = connection.getresponse()
        connection.close()

    assert answer.status == 413


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_prints_an_address_that_works_once_and_ends_at_a_signal(opened: Opens, number: int, code: int) -> None:
    pages = opened([Answer(), Answer()])
    command = [sys.executable, "-m", "digitrec", "review", "--no-browser", "--reviewer", "Anna"]
    with subprocess.Popen(
        [*DEFAULT_SIGNALS, *command, "--workspace", str(pages.settings.workspace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:(\d+)/enter\?token=\S+", running.stdout.readline())
        assert match
        asked = urllib.request.Request(match[0])
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor)
        with opener.open(asked, timeout=20) as answer:
            assert "need" in answer.read().decode()
        root = match[0].partition("/enter")[0]
        judgements = [{"batch": BATCH, "row": row, "new": "9", "seen": 0} for row in (1, 2)]
        body = json.dumps({"how": "one", "judgements": judgements}).encode()
        headers = {"Origin": root, "Content-Type": "application/json"}
        opener.open(urllib.request.Request(f"{root}/api/judge", body, headers), timeout=20).close()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(match[0], timeout=20)
        refused = socket.create_connection(("127.0.0.1", int(match[1])))
        refused.close()
        running.send_signal(number)
        printed, errors = running.communicate(timeout=20)

    assert running.returncode == code
    assert "Judged: 2 corrected." in printed
    assert f"Finished: {pages.settings.outbox}/corrected/{BATCH}.csv" in printed
    assert "Traceback" not in errors
    assert "token" not in errors
