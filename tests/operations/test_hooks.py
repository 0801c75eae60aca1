"""Whoever is told what happened: one that works, one that fails, one that hangs."""

import base64
import http.server
import json
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from digitrec import app, results, retrying, service, workspace
from digitrec.errors import EnvironmentFailure, SettingsError
from digitrec.intake.observing import NoObserver
from digitrec.operations import heartbeat, hook_calls
from digitrec.operations.hooks import FAILURES, Hooks
from digitrec.records import Batch, Stage
from digitrec.settings import Settings
from tests.conftest import Desk

NEVER = lambda: False  # noqa: E731


def python(program: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"


NOTES = "import os, sys; open('told.jsonl', 'a').write(sys.stdin.read() + os.linesep)"
"""A hook that works."""
LATE = "import time; time.sleep(1.5); open('late', 'w')"
HANGS = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {LATE!r}]); time.sleep(60)"
"""One that hangs, with a child that would leave a trace."""


def told(desk: Desk) -> list[dict[str, Any]]:
    path = desk.root / "told.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tell(desk: Desk, **settings: Any) -> Hooks:
    """Run, then tell of what was closed."""
    desk.set(**settings)
    hooks = Hooks(desk.settings)
    desk.run()
    with workspace.opened(desk.settings) as space:
        for batch in space.ledger.batches():
            hooks.reported(batch.id)
        hooks.tell_batches(space.ledger, NEVER)
    return hooks


def test_a_hook_gets_closed_batches_and_rejected_files(desk: Desk) -> None:
    desk.drop("7.png")
    desk.drop("desk/noise.png", b"no picture")

    tell(desk, on_batch=python(NOTES), on_reject=python(NOTES))

    batch, reject = told(desk)
    assert (batch["event"], batch["accepted"] + batch["review"], batch["rejected"]) == ("batch", 1, 1)
    assert Path(batch["csv"]) == desk.tables()[0]
    assert (reject["event"], reject["worker"], reject["rejected"]) == ("reject", "main", 1)
    (file,) = reject["files"]
    assert (file["file"], file["reason_code"]) == ("desk/noise.png", "not_an_image")


def test_no_rejected_hook_runs_without_rejected_files(desk: Desk) -> None:
    desk.drop("7.png")

    tell(desk, on_reject=python(NOTES))

    assert told(desk) == []


def test_a_batch_hook_runs_once_after_the_batch_is_closed(desk: Desk) -> None:
    hooks = Hooks(Settings(workspace=desk.root, on_batch=python(NOTES)))
    with workspace.opened(desk.settings) as space:
        batch = Batch("20260102T030405Z-0a1b2c3d", "2026-01-02T03:04:05.000Z", Stage.PLANNED)
        space.ledger.open_batch(batch, [])
        hooks.reported(batch.id)
        hooks.tell_batches(space.ledger, NEVER)
        assert told(desk) == []
        space.ledger.ask("UPDATE batches SET stage = 'closed', rendering = '{}'")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitrec.ledger._rendering", lambda _: None)
        with workspace.opened(desk.settings) as space:
            hooks.tell_batches(space.ledger, NEVER)
            hooks.tell_batches(space.ledger, NEVER)

    assert [one["batch_id"] for one in told(desk)] == [batch.id]


def test_a_command_gets_no_shell_and_the_facts_as_variables(desk: Desk) -> None:
    program = (
        "import os, sys; facts = [sys.argv[1], os.environ['DIGITREC_EVENT'], os.environ['DIGITREC_WORKSPACE']]; "
        "open('said', 'w').write(' '.join(facts))"
    )
    desk.drop("7.png")

    tell(desk, on_batch=f"{python(program)} '$HOME;x'")

    assert (desk.root / "said").read_text() == f"$HOME;x batch {desk.root}"


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (python("import sys; sys.exit('no room for it')"), "exit code 1: no room for it"),
        ("/nowhere/notify --key secret", "it cannot be started: No such file or directory"),
        ("http://me:secret@127.0.0.1:1/secret?secret", "it cannot be reached: Connection refused"),
    ],
    ids=["fails", "is not there", "nobody listens"],
)
def test_a_hook_that_fails_is_one_line_without_secrets(
    desk: Desk, caplog: pytest.LogCaptureFixture, hook: str, why: str
) -> None:
    desk.drop("7.png")

    tell(desk, on_batch=hook)

    (record,) = (record for record in caplog.records if "hook" in record.message)
    fields = vars(record)["fields"]
    assert str(fields["why"]) == why
    assert "secret" not in str(fields)


@pytest.mark.slow
def test_a_hook_that_hangs_is_ended_in_time_with_its_children(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.drop("7.png")
    began_s = time.monotonic()

    tell(desk, on_batch=python(HANGS), hook_timeout_s=0.7)

    assert "was ended" in str(vars(caplog.records[-1])["fields"]["why"])
    time.sleep(max(0.0, began_s + 3 - time.monotonic()))
    assert not (desk.root / "late").exists()


@pytest.mark.slow
def test_a_hook_that_is_at_work_when_the_end_is_asked_for_gets_two_seconds(tmp_path: Path) -> None:
    with pytest.raises(hook_calls.HookFailed, match=r"after 2\.\d s"):
        hook_calls.call("sleep 60", "{}", {}, tmp_path, time.monotonic() + 60, lambda: True)


class Listener(http.server.BaseHTTPRequestHandler):
    posted: ClassVar[list[Any]]
    status = 204
    hangs = False
    release: ClassVar[threading.Event]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append({**json.loads(body), "authorization": self.headers["Authorization"]})
        if self.hangs:
            self.release.wait(30)
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def listening(*, status: int = 204, hangs: bool = False) -> Iterator[tuple[str, list[Any]]]:
    posted: list[Any] = []
    release = threading.Event()
    handler = type("Own", (Listener,), {"posted": posted, "status": status, "hangs": hangs, "release": release})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/services/secret", posted
        finally:
            release.set()
            server.shutdown()
            thread.join()


def test_an_address_gets_the_facts_as_json(desk: Desk) -> None:
    desk.drop("7.png")

    with listening() as (address, posted):
        tell(desk, on_batch=address.replace("://", "://me:p%40ss@"))

    (one,) = posted
    assert (one["event"], one["rejected"]) == ("batch", 0)
    assert base64.b64decode(one["authorization"].removeprefix("Basic ")) == b"me:p@ss"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_address_that_refuses_or_sends_on_is_one_line(
    desk: Desk, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    desk.drop("7.png")

    with listening(status=status) as (address, posted):
        tell(desk, on_batch=address)

    assert len(posted) == 1
    fields = vars(caplog.records[-1])["fields"]
    assert str(fields["why"]) == f"it was answered with status {status}"
    assert "secret" not in str(fields)


def test_an_address_that_hangs_costs_no_more_than_the_timeout(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.drop("7.png")

    with listening(hangs=True) as (address, posted):
        tell(desk, on_batch=address, hook_timeout_s=0.3)

    assert len(posted) == 1
    why = str(vars(caplog.records[-1])["fields"]["why"])
    assert "was ended" in why or "TimeoutError" in why or "timed out" in why


@pytest.mark.parametrize("hook", ["'unfinished", " ", "ftp://machine/path", "http:///path", "http://machine:port/"])
def test_an_invalid_hook_is_refused_at_start(tmp_path: Path, hook: str) -> None:
    with pytest.raises(SettingsError, match="on_reject cannot be used"):
        Hooks(Settings(workspace=tmp_path, on_reject=hook))


def test_three_failures_in_a_row_are_logged_once_and_again_after_a_success(desk: Desk) -> None:
    hooks = Hooks(Settings(workspace=desk.root, on_unhealthy=python(NOTES)))
    for _ in range(5):
        hooks.failed("the outbox is missing")
    assert [(one["event"], one["why"], one["failures"]) for one in told(desk)] == [
        ("unhealthy", "the outbox is missing", 3)
    ]

    hooks.worked()
    hooks.failed("a hiccup")
    assert len(told(desk)) == 1
    hooks.failed("nothing is tried any more", is_last=True)
    assert len(told(desk)) == 2


@pytest.mark.slow
def test_run_and_watch_call_hooks_and_survive_a_failing_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.set(settle_s=0, run_retry_s=0.1, on_batch=python(f"{NOTES}; sys.exit(1)"), on_unhealthy=python(NOTES))
    desk.drop("7.png")
    app.run_once(desk.settings)
    assert [one["event"] for one in told(desk)] == ["batch"]

    with monkeypatch.context() as patch:
        patch.setattr(retrying, "backoff_s", lambda tries: 0.01 * 2 ** (tries - 1))
        patch.setattr(results, "publish", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        desk.drop("8.png")
        with pytest.raises(EnvironmentFailure):
            app.run_once(desk.settings)
    assert told(desk)[-1]["event"] == "unhealthy"

    stop = service.Stop()
    thread = threading.Thread(target=app.watch, args=(desk.settings, stop, NoObserver()))
    thread.start()
    until_s = time.monotonic() + 60
    while len(told(desk)) < 3 and time.monotonic() < until_s:
        time.sleep(0.05)
    stop.set()
    thread.join(30)
    assert [one["event"] for one in told(desk)] == ["batch", "unhealthy", "batch"]  # the watch finished what was kept
    assert len(desk.rows()) == 2


def test_an_unexpected_exception_at_a_hook_is_logged_and_stops_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr(hook_calls, "call", fails)
    desk.set(on_unhealthy="true")
    hooks = Hooks(desk.settings)

    for _ in range(FAILURES):
        hooks.failed("the disk is full")

    assert "a hook cannot be called" in caplog.messages


def test_an_exception_before_a_hook_is_called_stops_no_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr(Hooks, "_of_batch", fails)
    desk.set(settle_s=0, on_batch="true")
    desk.drop("7.png")

    assert app.run_once(desk.settings).count.claimed == 1
    seen = heartbeat.read(desk.settings.ledger.parent)
    assert seen is not None
    assert seen.unexpected == "a hook cannot be called: KeyError: 'colour'"
