"""Hooks that work, fail and hang."""

import http.server
import json
import shlex
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from digitrec.app import run as app_run
from digitrec.app import service
from digitrec.app.run import run_once, watch
from digitrec.errors import EnvironmentFailure, SettingsError
from digitrec.monitoring import heartbeat
from digitrec.monitoring import hooks as hooks_module
from digitrec.monitoring.hooks import CURL, FAILURES, HOOK_TIMEOUT_S, HookError, Hooks, run_command
from digitrec.pipeline import workspace
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.watcher import NoChangeSource
from digitrec.settings import Settings
from digitrec.types import Batch, BatchStage
from tests.conftest import ServiceHarness

NEVER = lambda: False  # noqa: E731


def python(program: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"


NOTES = "import os, sys; open('notices.jsonl', 'a').write(sys.stdin.read() + os.linesep)"
"""Hook that succeeds."""
LATE = "import time; time.sleep(1.5); open('late', 'w')"
HANGS = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {LATE!r}]); time.sleep(60)"
"""Hook that hangs, with a child that would write a file."""


def read_notices(harness: ServiceHarness) -> list[dict[str, Any]]:
    path = harness.root / "notices.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tell(harness: ServiceHarness, timeout_s: float = HOOK_TIMEOUT_S, **settings: Any) -> Hooks:
    """Run, then call the hooks of the finished batches."""
    harness.set(**settings)
    hooks = Hooks(harness.settings, timeout_s)
    harness.run()
    with workspace.open_workspace(harness.settings) as space:
        for batch in space.ledger.batches():
            hooks.add_batch(batch.id)
        hooks.call_for_closed(space.ledger, NEVER)
    return hooks


def test_a_hook_gets_closed_batches_and_rejected_files(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.drop("desk/noise.png", b"no picture")

    tell(harness, on_batch=python(NOTES), on_reject=python(NOTES))

    batch, reject = read_notices(harness)
    assert (batch["event"], batch["accepted"] + batch["review"], batch["rejected"]) == ("batch", 1, 1)
    assert Path(batch["csv"]) == harness.tables()[0]
    assert (batch["deferred"], batch["released"]) == (0, 0)
    assert (reject["event"], reject["worker"], reject["rejected"]) == ("reject", "main", 1)
    (file,) = reject["files"]
    assert (file["file"], file["reason_code"]) == ("desk/noise.png", "not_an_image")


def test_no_rejected_hook_runs_without_rejected_files(harness: ServiceHarness) -> None:
    harness.drop("7.png")

    tell(harness, on_reject=python(NOTES))

    assert read_notices(harness) == []


def test_a_batch_hook_runs_once_after_the_batch_is_closed(harness: ServiceHarness) -> None:
    hooks = Hooks(Settings(workspace=harness.root, on_batch=python(NOTES)))
    with workspace.open_workspace(harness.settings) as space:
        batch = Batch("20260102T030405Z-0a1b2c3d", "2026-01-02T03:04:05.000Z", BatchStage.PLANNED)
        space.ledger.open_batch(batch, [])
        hooks.add_batch(batch.id)
        hooks.call_for_closed(space.ledger, NEVER)
        assert read_notices(harness) == []
        space.ledger.query("UPDATE batches SET stage = 'closed', rendering = '{}'")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("digitrec.storage.schema._decode_output_format", lambda _: None)
        with workspace.open_workspace(harness.settings) as space:
            hooks.call_for_closed(space.ledger, NEVER)
            hooks.call_for_closed(space.ledger, NEVER)

    assert [notice["batch_id"] for notice in read_notices(harness)] == [batch.id]


def test_a_hook_runs_without_a_shell_and_gets_variables(harness: ServiceHarness) -> None:
    program = (
        "import os, sys; facts = [sys.argv[1], os.environ['DIGITREC_EVENT'], os.environ['DIGITREC_WORKSPACE']]; "
        "open('said', 'w').write(' '.join(facts))"
    )
    harness.drop("7.png")

    tell(harness, on_batch=f"{python(program)} '$HOME;x'")

    assert (harness.root / "said").read_text() == f"$HOME;x batch {harness.root}"


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (python("import sys; sys.exit('no room for it')"), "exit code 1: no room for it"),
        ("/nowhere/notify --key secret", "it cannot be started: No such file or directory"),
    ],
    ids=["fails", "is not there"],
)
def test_a_failed_hook_is_logged_in_a_line_without_secrets(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture, hook: str, why: str
) -> None:
    harness.drop("7.png")

    tell(harness, on_batch=hook)

    (record,) = (record for record in caplog.records if "hook" in record.message)
    fields = vars(record)["fields"]
    assert str(fields["why"]) == why
    assert "secret" not in str(fields)


@pytest.mark.slow
def test_a_hook_that_hangs_is_ended_in_time_with_its_children(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.drop("7.png")
    began_s = time.monotonic()

    tell(harness, on_batch=python(HANGS), timeout_s=0.7)

    assert "was ended" in str(vars(caplog.records[-1])["fields"]["why"])
    time.sleep(max(0.0, began_s + 3 - time.monotonic()))
    assert not (harness.root / "late").exists()


@pytest.mark.slow
def test_a_running_hook_gets_two_seconds_after_a_stop(tmp_path: Path) -> None:
    with pytest.raises(HookError, match=r"after 2\.\d s"):
        run_command(["sleep", "60"], "{}", {}, tmp_path, 60, lambda: True)


@pytest.mark.parametrize("hook", ["'unfinished", " "])
def test_an_invalid_hook_is_refused_at_start(tmp_path: Path, hook: str) -> None:
    with pytest.raises(SettingsError, match="on_reject cannot be used"):
        Hooks(Settings(workspace=tmp_path, on_reject=hook))


@pytest.mark.parametrize(
    "address", ["https://me:secret@host/secret?key=secret", "HTTP://host", "ftp://host/path", "https://host/?name='a"]
)
def test_an_address_as_a_hook_is_refused_and_the_error_shows_curl(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="on_reject is an address") as info:
        Hooks(Settings(workspace=tmp_path, on_reject=address))

    assert info.value.exit_code == 78
    assert "on_reject = 'curl " in info.value.hint
    assert "secret" not in f"{info.value} {info.value.hint}"


class Listener(http.server.BaseHTTPRequestHandler):
    """Web service that stores its requests, and answers with an error."""

    notices: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.notices.append((self.headers["Content-Type"], self.headers["Authorization"], json.loads(body)["event"]))
        self.send_response(500)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_line_posts_the_notice_and_fails_where_it_is_refused(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.drop("7.png")
    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        tell(harness, on_batch=CURL.replace("ADDRESS", f"http://me:secret@127.0.0.1:{server.server_port}/secret"))
        thread.join()

    assert Listener.notices == [("application/json", "Basic bWU6c2VjcmV0", "batch")]
    (record,) = (record for record in caplog.records if "hook" in record.message)
    fields = vars(record)["fields"]
    assert (fields["hook"], "error: 500" in str(fields["why"])) == ("curl", True)
    assert "secret" not in str(fields)


def test_three_failures_in_a_row_are_logged_once_and_again_after_a_success(harness: ServiceHarness) -> None:
    hooks = Hooks(Settings(workspace=harness.root, on_failure=python(NOTES)))
    for _ in range(5):
        hooks.count_failure("the outbox is missing")
    assert [(notice["event"], notice["why"], notice["failures"]) for notice in read_notices(harness)] == [
        ("unhealthy", "the outbox is missing", 3)
    ]

    hooks.reset_failures()
    hooks.count_failure("a hiccup")
    assert len(read_notices(harness)) == 1
    hooks.count_failure("nothing is tried any more", is_last=True)
    assert len(read_notices(harness)) == 2


@pytest.mark.slow
def test_run_and_watch_call_hooks_and_survive_a_failed_hook(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.set(settle_s=0, run_retry_s=0.1, on_batch=python(f"{NOTES}; sys.exit(1)"), on_failure=python(NOTES))
    harness.drop("7.png")
    run_once(harness.settings)
    assert [notice["event"] for notice in read_notices(harness)] == ["batch"]

    with monkeypatch.context() as patch:
        patch.setattr(app_run, "backoff_s", lambda tries: 0.01 * 2 ** (tries - 1))
        patch.setattr(FolderOutbox, "publish", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        harness.drop("8.png")
        with pytest.raises(EnvironmentFailure):
            run_once(harness.settings)
    assert read_notices(harness)[-1]["event"] == "unhealthy"

    stop = service.ShutdownSignal()
    thread = threading.Thread(target=watch, args=(harness.settings, stop, NoChangeSource()))
    thread.start()
    until_s = time.monotonic() + 60
    while len(read_notices(harness)) < 3 and time.monotonic() < until_s:
        time.sleep(0.05)
    stop.set()
    thread.join(30)
    assert [notice["event"] for notice in read_notices(harness)] == [
        "batch",
        "unhealthy",
        "batch",
    ]  # watch finished the batch that run left open
    assert len(harness.rows()) == 2


def test_an_unexpected_exception_at_a_hook_is_logged_and_stops_nothing(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr(hooks_module, "run_command", fails)
    harness.set(on_failure="true")
    hooks = Hooks(harness.settings)

    for _ in range(FAILURES):
        hooks.count_failure("the disk is full")

    assert "a hook cannot be called" in caplog.messages


def test_an_exception_before_a_hook_is_called_stops_no_run(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr(Hooks, "_batch_facts", fails)
    harness.set(settle_s=0, on_batch="true")
    harness.drop("7.png")

    assert run_once(harness.settings).count.claimed == 1
    seen = heartbeat.read_heartbeat(harness.settings.ledger.parent)
    assert seen is not None
    assert seen.unexpected == "a hook cannot be called: KeyError: 'colour'"
