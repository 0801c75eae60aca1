"""Commands that are called when a batch is finished, files were rejected, or the service keeps failing.

A hook gets JSON on its standard input. It costs the service HOOK_TIMEOUT_S at most; its failure is one line in the log.
A crash right before the call loses the notice; no notice is sent twice.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from digitrec import logs, text
from digitrec.errors import SettingsError
from digitrec.settings import Settings
from digitrec.storage.claims import Claim, FileOutcome, OutcomeCounts
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.types import BatchStage

FAILURES = 3
"""Number of failures in a row after which `on_failure` is called."""
HOOK_TIMEOUT_S = 10.0
"""Time limit of one call: the default of a setting in 0.1, and as long as SIGTERM waits for a batch."""
CURL = 'curl -fsS -H "Content-Type: application/json" --data-binary @- ADDRESS'
"""Hook that sends its JSON to an address."""
_STOP_TIMEOUT_S = 2.0
"""Time limit of a call once the service is asked to stop."""
_POLL_INTERVAL_S = 0.05
_MAX_ERROR_LENGTH = 200
_MAX_REJECTED = 100
"""Upper limit of rejected files in one notice."""
_EVENTS = {"batch": "on_batch", "reject": "on_reject", "unhealthy": "on_failure"}


class HookError(Exception):
    """Failure of a hook: not started, a non-zero exit code, or a timeout. The text holds no arguments."""


class Hooks:
    """Hooks of one process; inactive, with no further imports, if no setting names a hook."""

    def __init__(self, settings: Settings, timeout_s: float = HOOK_TIMEOUT_S) -> None:
        """Parse the commands; call none.

        Args:
            settings: hold the command lines.
            timeout_s: time limit of one call.

        Raises:
            SettingsError: a hook is no command line.
        """
        self._settings = settings
        self._timeout_s = timeout_s
        self._hooks = {
            event: _parse(name, line) for event, name in _EVENTS.items() if (line := getattr(settings, name))
        }
        self._reported: list[str] = []
        self._failures = 0

    def add_batch(self, batch_id: str) -> None:
        """Note a batch whose report is written; its hooks are called once it is closed."""
        if {"batch", "reject"} & self._hooks.keys():
            self._reported.append(batch_id)

    def call_for_closed(self, ledger: Ledger, stopped: Callable[[], bool]) -> None:
        """Call the hooks of the batches that were closed since; `stopped` is asked while a hook runs."""
        for batch_id in list(self._reported):
            batch = ledger.batch(batch_id)
            if batch is not None and batch.stage is not BatchStage.CLOSED:
                continue  # finishing it failed and is tried again
            self._reported.remove(batch_id)
            if batch is None:
                continue
            claims = ledger.claims(batch_id)
            self._call("batch", self._batch_facts(batch_id, claims), stopped)
            rejected = [claim.path for claim in claims if claim.outcome is FileOutcome.REJECTED]
            if rejected and "reject" in self._hooks:
                self._call("reject", self._rejected_facts(ledger, batch_id, rejected), stopped)

    def count_failure(self, why: object, stopped: Callable[[], bool] = lambda: False, *, is_last: bool = False) -> None:
        """Count a failure of environment or model; call the hook at the third in a row, or at the last try."""
        self._failures += 1
        is_due = self._failures == FAILURES or (is_last and self._failures < FAILURES)
        if is_due and "unhealthy" in self._hooks:
            self._call("unhealthy", {"why": text.escape(str(why)), "failures": self._failures}, stopped)

    def reset_failures(self) -> None:
        """Reset the count of failures."""
        self._failures = 0

    def _batch_facts(self, batch_id: str, claims: list[Claim]) -> dict[str, object]:
        count = OutcomeCounts.from_claims(claims)
        table = self._settings.table_location(batch_id)
        is_published = isinstance(table, str) or table.exists()
        return {"batch_id": batch_id, "csv": str(table) if is_published else "", **count.to_json()}

    def _rejected_facts(self, ledger: Ledger, batch_id: str, rejected: list[str]) -> dict[str, object]:
        files = []
        for path in rejected[:_MAX_REJECTED]:
            row = ledger.get_file_rows(batch_id, path)[0].reading
            files.append({"file": text.escape(path), "reason_code": row.reason, "reason": row.detail})
        return {"batch_id": batch_id, "rejected": len(rejected), "files": files}

    def _call(self, event: str, facts: Mapping[str, object], stopped: Callable[[], bool]) -> None:
        command = self._hooks.get(event)
        if command is None:
            return
        settings = self._settings
        source = {"workspace": text.escape(str(settings.workspace)), "worker": settings.worker}
        body = json.dumps({"event": event, "at": format_utc(time.time()), **source, **facts})
        variables = {
            "DIGITREC_EVENT": event,
            "DIGITREC_WORKSPACE": str(settings.workspace),
            "DIGITREC_WORKER": settings.worker,
            "DIGITREC_BATCH_ID": str(facts.get("batch_id", "")),
        }
        try:
            run_command(command, body, variables, settings.workspace, self._timeout_s, stopped)
        except HookError as error:  # arguments are often secrets: the log names only the program
            program = Path(command[0]).name
            logs.warning("a hook failed; work continues", setting=_EVENTS[event], hook=program, why=error)
        except Exception as error:  # noqa: BLE001 - a hook must not stop the service
            logs.log_exception("a hook cannot be called", error, setting=_EVENTS[event])


def _parse(name: str, line: str) -> list[str]:
    import shlex

    if "://" in line.partition(" ")[0]:
        hint = f"Let curl send it: {name} = '{CURL}' (docs/reference/hooks.md)."
        raise SettingsError(f"{name} is an address; a hook is a command line", hint=hint)
    try:
        command = shlex.split(line)
        if not command:
            raise ValueError("it names no program")
    except ValueError as error:
        raise SettingsError(f"{name} cannot be used: {error}", hint="Give a command line.") from None
    return command


def run_command(
    command: Sequence[str],
    body: str,
    variables: Mapping[str, str],
    folder: Path,
    timeout_s: float,
    stopped: Callable[[], bool],
) -> None:
    """Run a hook without a shell and wait for its end; kill it with its children after the time limit.

    Args:
        command: program and arguments.
        body: JSON for its standard input.
        variables: added to its environment.
        folder: its current folder.
        timeout_s: time limit.
        stopped: asked twenty times a second; once True, two seconds are left at most.

    Raises:
        HookError: the hook failed.
    """
    import subprocess
    import tempfile

    started_s = time.monotonic()
    deadline_s = started_s + timeout_s
    is_stopping = False
    # Files, not pipes: a hook that reads nothing, or whose grandchild keeps a pipe open, blocks nobody.
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(body.encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=folder,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise HookError(f"it cannot be started: {getattr(error, 'strerror', None) or error}") from None
        try:
            while process.poll() is None:
                if not is_stopping and stopped():
                    is_stopping, deadline_s = True, min(deadline_s, time.monotonic() + _STOP_TIMEOUT_S)
                if time.monotonic() >= deadline_s:
                    raise HookError(f"it was not finished after {time.monotonic() - started_s:.1f} s, and was ended")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_INTERVAL_S)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # the hook leads its own process group: children end with it
                process.wait()
        if process.returncode != 0:
            stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 10 * _MAX_ERROR_LENGTH))
            lines = stderr.read().decode(errors="replace").strip().splitlines()
            raise HookError(f"exit code {process.returncode}{': ' + lines[-1][:_MAX_ERROR_LENGTH] if lines else ''}")
