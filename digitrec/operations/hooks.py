"""Commands and addresses that are told what happened: a batch is closed, files were rejected, the service is unwell.

A hook gets JSON, on its standard input or as the body of a POST. Whatever it does costs the job `hook_timeout_s` at
most; that it failed is one line in the log. A crash right before loses a notice, and none is given twice.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from digitrec import logs, names
from digitrec.clock import utc
from digitrec.errors import SettingsError
from digitrec.ledger import Ledger
from digitrec.operations import hook_calls
from digitrec.records import Claim, Count, Fate, Stage
from digitrec.settings import Settings

FAILURES = 3
"""So many in a row, and the service is unwell."""
_MOST_REJECTED = 100
"""Named one by one."""
_EVENTS = {"batch": "on_batch", "reject": "on_reject", "unhealthy": "on_unhealthy"}


class Hooks:
    """Those of one process; does nothing, and loads nothing, where no setting names any."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is called yet.

        Args:
            settings: name the hooks.

        Raises:
            SettingsError: one is neither a command line nor an address.
        """
        self._settings = settings
        self._hooks = {event: hook for event, name in _EVENTS.items() if (hook := getattr(settings, name))}
        for event, hook in self._hooks.items():
            try:
                hook_calls.check(hook)
            except ValueError as why:
                hint = "Give a command line, or an address that begins with http:// or https://."
                raise SettingsError(f"{_EVENTS[event]} cannot be used: {why}", hint=hint) from None
        self._reported: list[str] = []
        self._failures = 0

    def reported(self, batch_id: str) -> None:
        """A batch has its report; it is told of once it is closed."""
        if {"batch", "reject"} & self._hooks.keys():
            self._reported.append(batch_id)

    def tell_batches(self, ledger: Ledger, stopped: Callable[[], bool]) -> None:
        """Tell of the batches that were closed since; `stopped` is asked while a hook is at work."""
        for batch_id in list(self._reported):
            batch = ledger.batch(batch_id)
            if batch is not None and batch.stage is not Stage.CLOSED:
                continue  # its end failed, and will be tried again
            self._reported.remove(batch_id)
            if batch is None:
                continue
            claims = ledger.claims(batch_id)
            self._tell("batch", self._of_batch(batch_id, claims), stopped)
            rejected = [claim.path for claim in claims if claim.fate is Fate.REJECTED]
            if rejected and "reject" in self._hooks:
                self._tell("reject", self._of_rejected(ledger, batch_id, rejected), stopped)

    def failed(self, why: object, stopped: Callable[[], bool] = lambda: False, *, is_last: bool = False) -> None:
        """The environment or the model failed; told at the third time in a row, or when nothing is tried any more."""
        self._failures += 1
        is_told = self._failures == FAILURES or (is_last and self._failures < FAILURES)
        if is_told and "unhealthy" in self._hooks:
            self._tell("unhealthy", {"why": names.escape(str(why)), "failures": self._failures}, stopped)

    def worked(self) -> None:
        """It works; a failure from now on is a new one."""
        self._failures = 0

    def _of_batch(self, batch_id: str, claims: list[Claim]) -> dict[str, object]:
        count = Count.of(claims)
        table = self._settings.table_of(batch_id)
        is_there = isinstance(table, str) or table.exists()
        fates = {"accepted": count.accepted, "review": count.review, "rejected": count.rejected}
        return {"batch_id": batch_id, "csv": str(table) if is_there else "", **fates, "released": count.released}

    def _of_rejected(self, ledger: Ledger, batch_id: str, rejected: list[str]) -> dict[str, object]:
        files = []
        for path in rejected[:_MOST_REJECTED]:
            row = ledger.rows_of(batch_id, path)[0].reading
            files.append({"file": names.escape(path), "reason_code": row.reason, "reason": row.detail})
        return {"batch_id": batch_id, "rejected": len(rejected), "files": files}

    def _tell(self, event: str, facts: Mapping[str, object], stopped: Callable[[], bool]) -> None:
        hook = self._hooks.get(event)
        if hook is None:
            return
        settings = self._settings
        whose = {"workspace": names.escape(str(settings.workspace)), "worker": settings.worker}
        body = json.dumps({"event": event, "at": utc(time.time()), **whose, **facts})
        variables = {
            "DIGITREC_EVENT": event,
            "DIGITREC_WORKSPACE": str(settings.workspace),
            "DIGITREC_WORKER": settings.worker,
            "DIGITREC_BATCH_ID": str(facts.get("batch_id", "")),
        }
        deadline_s = time.monotonic() + settings.hook_timeout_s
        try:
            hook_calls.call(hook, body, variables, Path(settings.workspace), deadline_s, stopped)
        except hook_calls.HookFailed as why:
            logs.warn("a hook failed, the work goes on", setting=_EVENTS[event], hook=hook_calls.shown(hook), why=why)
        except Exception as why:  # noqa: BLE001 - no hook is worth the service
            logs.unexpected_error("a hook cannot be called", why, setting=_EVENTS[event])
