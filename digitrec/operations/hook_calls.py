"""One call of a hook: a process without a shell, or a POST; it ends in time, whatever it does."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

_ASK_EVERY_S = 0.05
_STOP_S = 2.0
"""Once the end of the service is asked for, a hook has so long."""
_MOST_SAID = 200


class HookFailed(Exception):
    """It could not be called, said that it failed, or took too long; in words without secrets."""


def is_address(hook: str) -> bool:
    """True for an address, False for a command line."""
    return hook.lower().startswith(("http://", "https://"))


def check(hook: str) -> None:
    """Raise ValueError, in words, if this can be no hook."""
    if is_address(hook):
        from urllib.parse import urlsplit

        parts = urlsplit(hook)
        if not parts.hostname or parts.port == 0:  # asking for the port checks that it is a number
            raise ValueError("the address names no machine")
        return
    import shlex

    if "://" in hook.split(" ", 1)[0] or not shlex.split(hook):
        raise ValueError("it names no program")


def shown(hook: str) -> str:
    """What may stand in a log: paths, queries, names before "@" and arguments are often secrets.

    >>> shown("https://me:pw@chat.example:8443/services/T0/B0?token=1"), shown("/usr/bin/notify --key 123")
    ('https://chat.example:8443', 'notify')
    """
    if is_address(hook):
        from urllib.parse import urlsplit

        parts = urlsplit(hook)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    import shlex

    return Path(shlex.split(hook)[0]).name


def call(
    hook: str,
    body: str,
    variables: Mapping[str, str],
    folder: Path,
    deadline_s: float,
    stopped: Callable[[], bool],
) -> None:
    """Call a hook and wait for its end.

    Args:
        hook: a command line, or an address.
        body: JSON.
        variables: added to the environment of a command.
        folder: where a command is started.
        deadline_s: when it is ended, on the monotonic clock.
        stopped: asked twenty times a second; once True, the deadline is two seconds away at most.

    Raises:
        HookFailed: it did not do its work.
    """
    if is_address(hook):
        _post(hook, body, _Patience(deadline_s, stopped))
    else:
        _run(hook, body, variables, folder, _Patience(deadline_s, stopped))


class _Patience:
    """How long to wait: until the deadline, which draws near when the end is asked for."""

    def __init__(self, deadline_s: float, stopped: Callable[[], bool]) -> None:
        self._began_s = time.monotonic()
        self._deadline_s = deadline_s
        self._stopped = stopped

    def left_s(self) -> float:
        if self._stopped():
            self._deadline_s = min(self._deadline_s, time.monotonic() + _STOP_S)
            self._stopped = lambda: False
        return self._deadline_s - time.monotonic()

    def over(self) -> HookFailed:
        return HookFailed(f"it was not done after {time.monotonic() - self._began_s:.1f} s, and was ended")


def _run(hook: str, body: str, variables: Mapping[str, str], folder: Path, patience: _Patience) -> None:
    import shlex
    import subprocess
    import tempfile

    # Files, not pipes: nobody waits for a hook that reads nothing, nor for its grandchild that holds a pipe open.
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        told.write(body.encode())
        told.seek(0)
        try:
            process = subprocess.Popen(
                shlex.split(hook),
                stdin=told,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=folder,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except (OSError, ValueError) as why:
            raise HookFailed(f"it cannot be started: {getattr(why, 'strerror', None) or why}") from None
        code = _wait(process, patience)
        if code != 0:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 10 * _MOST_SAID))
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise HookFailed(f"exit code {code}{': ' + lines[-1][:_MOST_SAID] if lines else ''}")


def _wait(process: "subprocess.Popen[bytes]", patience: _Patience) -> int:
    import subprocess

    try:
        while (left_s := patience.left_s()) > 0:
            try:
                return process.wait(min(_ASK_EVERY_S, left_s))
            except subprocess.TimeoutExpired:
                continue
        raise patience.over()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own: children go with it
            process.wait()


def _post(address: str, body: str, patience: _Patience) -> None:
    # In a thread: a socket's timeout begins anew with each byte that arrives.
    import threading

    done: list[HookFailed | None] = []
    timeout_s = patience.left_s()
    # What hangs longer than we wait is left to its end; `service.leave` does not wait for it.
    thread = threading.Thread(target=lambda: done.append(_posted(address, body, timeout_s)), daemon=True)
    thread.start()
    while not done:
        if (left_s := patience.left_s()) <= 0:
            raise patience.over()
        thread.join(min(_ASK_EVERY_S, left_s))
    if done[0] is not None:
        raise done[0]


def _posted(address: str, body: str, timeout_s: float) -> HookFailed | None:
    """None if it was taken."""
    import base64
    import http.client
    import urllib.error
    import urllib.request
    from urllib.parse import unquote, urlsplit

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None  # a POST that is sent on becomes a GET, and tells nothing

    headers = {"Content-Type": "application/json", "User-Agent": "digitrec"}
    parts = urlsplit(address)
    name, _, machine = parts.netloc.rpartition("@")
    if name:  # urllib would take it for a part of the machine's name
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(name).encode()).decode()}"
        address = parts._replace(netloc=machine).geturl()
    try:
        request = urllib.request.Request(address, body.encode(), headers, method="POST")  # noqa: S310 - http(s) only
        with urllib.request.build_opener(NoRedirect).open(request, timeout=max(0.1, timeout_s)):
            return None
    except urllib.error.HTTPError as why:
        why.close()
        return HookFailed(f"it was answered with status {why.code}")
    except urllib.error.URLError as why:
        return HookFailed(f"it cannot be reached: {getattr(why.reason, 'strerror', None) or why.reason}")
    except (OSError, http.client.HTTPException, ValueError) as why:
        return HookFailed(f"it cannot be reached: {type(why).__name__}")
