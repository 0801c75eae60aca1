"""Format the results of the commands that operate a workspace, as text and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from digitrec import text
from digitrec.text import pluralize

if TYPE_CHECKING:
    from digitrec.monitoring.backlog import DryRun, WaitingFile
    from digitrec.monitoring.folder_checks import Check
    from digitrec.monitoring.history import AnsweredRow, ClaimEvent, FileHistory
    from digitrec.monitoring.maintenance import PruneCandidate, RequeuedFile
    from digitrec.monitoring.status import WorkerStatus, WorkspaceStatus
    from digitrec.pipeline.scanner import SkippedCounts

_MAX_LINES = 20
_MAX_DEFERRED = 5
_MAX_TEXT = 40
"""Longest text of a page that `why` prints; of a longer one, the count of its numbers."""


def status_to_json(state: "WorkspaceStatus") -> dict[str, object]:
    """Return the status as JSON; `returned`, the name of `deferred` before 0.2, stays until 1.0."""
    status = asdict(state)
    return {**status, "returned": status["deferred"]}


def format_status(state: "WorkspaceStatus") -> Iterator[str]:
    """Return the lines of `status`."""
    since = (
        f", the longest for {format_duration(state.oldest_s)} ({state.oldest})" if state.oldest_s is not None else ""
    )
    yield f"waiting     {state.waiting} in the inbox, {state.claimed} claimed{since}"
    for file in state.deferred[:_MAX_LINES]:
        again = f"again in {format_duration(file.again_in_s)}" if file.again_in_s else "again at the next scan"
        tries = f"tried {_times(file.tries)} in {format_duration(file.since_s)}"
        yield f"deferred    {file.file}: {file.why}; {tries}, {again}"
    if len(state.deferred) > _MAX_LINES:
        yield f"deferred    and {len(state.deferred) - _MAX_LINES} more (--json has them)"
    for line in format_passed_over(state.passed_over):
        yield f"left out    {line}"
    for worker in state.workers:
        yield from _format_worker(worker)
    free = ", ".join(f"{name} {format_bytes(room)}" for name, room in state.free_bytes.items())
    yield f"free        {free}"
    yield f"model       {state.model.name}: {state.model.problem or 'complete, digests match'}"
    if state.problem:
        yield f"PROBLEM     the inbox cannot be scanned: {state.problem}"


def _format_worker(worker: "WorkerStatus") -> Iterator[str]:
    scanned = "never scanned" if worker.last_scan_s is None else f"last scan {format_duration(worker.last_scan_s)} ago"
    ledger = "" if worker.ledger == "ok" else f", ledger {worker.ledger}"
    if worker.state == "not running":
        yield f"worker      {worker.name}: no run is active; {scanned}{ledger}"
    else:
        yield f"worker      {worker.name}: {worker.state}, {scanned}, events {worker.observer}{ledger}"
    for batch in worker.open_batches:
        claimed = f"{pluralize(batch.files, 'file')} claimed, {format_duration(batch.age_s)}"
        yield f"  open      {batch.id}: {batch.stage}, {claimed}"
    if worker.is_failing:
        yield f"  failed    {format_duration(worker.failed_s or 0.0)} ago: {worker.failure}"
    if worker.unexpected_s is not None and not (worker.is_failing and worker.unexpected == worker.failure):
        yield f"  noticed   {format_duration(worker.unexpected_s)} ago: {worker.unexpected}"


def format_check(check: "Check") -> str:
    """Return the line of `doctor` for a check."""
    fix = f"  -> {check.fix}" if check.fix else ""
    return f"{check.severity:5}  {check.subject}: {text.escape(check.detail)}{fix}"


def format_history(history: "FileHistory") -> Iterator[str]:
    """Return the lines of `why`."""
    for event in history.events:
        yield from _format_event(event)
    for entry in history.entries:
        yield f"inbox/{entry.file}"
        yield f"  waiting   {entry.why}"


def format_candidates(paths: Sequence[str]) -> Iterator[str]:
    """Return the lines of `why` for several files that match in part."""
    yield from paths[:_MAX_LINES]
    if len(paths) > _MAX_LINES:
        yield f"and {len(paths) - _MAX_LINES} more (--json has them)"


def _format_event(event: "ClaimEvent") -> Iterator[str]:
    yield f"{event.file}  {event.sha256[:16]}"
    yield f"  claimed   {event.claimed_at} by worker {event.worker}, batch {event.batch_id} ({event.stage})"
    if event.outcome == "deferred":
        yield f"  deferred: {event.why}; put back as {event.original}"
        return
    if event.answered_at:
        yield f"  answered  {event.answered_at}: {event.outcome}"
    for answer in event.answers:
        yield from _format_answer(answer)
    if event.removed:
        yield f"  {event.removed.replace(' ', '  ', 1)}"
    elif event.original:
        yield f"  original  {event.original}{'' if event.has_original else ' (MISSING)'}"
    if event.reason_file:
        yield f"  reason    {event.reason_file}"


def _format_answer(answer: "AnsweredRow") -> Iterator[str]:
    is_long = len(answer.text) > _MAX_TEXT and " " in answer.text
    text_read = pluralize(len(answer.text.split()), "number") if is_long else repr(answer.text)
    read = f"reads {text_read} with confidence {answer.confidence:.4f}" if answer.confidence is not None else ""
    reading = "; ".join(
        part for part in (read, answer.reason_code and f"{answer.reason_code}: {answer.reason}") if part
    )
    yield f"  row       {answer.row}, page {answer.page}: {answer.status}, {reading}"
    if answer.duplicate_of:
        yield f"  the same bytes as {answer.duplicate_of}, which came first"
    elif answer.same_bytes:
        yield f"  the same bytes came again: {', '.join(answer.same_bytes)}"
    for verdict in answer.verdicts:
        number = f", number {verdict.number}" if verdict.number else ""
        text_now = f": {verdict.new}" if verdict.new else ""
        yield f"  {verdict.verdict:9} {verdict.reviewed_at} by {verdict.reviewer}{number}{text_now}"


def format_dry_run(plan: "DryRun") -> Iterator[str]:
    """Return the lines of `run --dry-run`."""
    yield from (f"finish  batch {batch_id}" for batch_id in plan.unfinished)
    yield from (f"read    {text.escape(file.path)}" for file in plan.read)
    yield from (f"leave   {text.escape(file.path)}: {_explain_wait(file)}" for file in plan.remaining)
    yield f"{pluralize(len(plan.read), 'file')} would be read, {len(plan.remaining)} left; nothing was touched"


def dry_run_to_json(plan: "DryRun") -> dict[str, object]:
    """Return the output of `run --dry-run --json`."""
    return {
        "finish": list(plan.unfinished),
        "read": [{"file": text.escape(file.path), "size_bytes": file.size} for file in plan.read],
        "leave": [
            {"file": text.escape(file.path), "size_bytes": file.size, "why": text.escape(_explain_wait(file))}
            for file in plan.remaining
        ],
    }


def _explain_wait(file: "WaitingFile") -> str:
    return (
        f"{text.escape(file.why)} ({format_duration(file.wait_s)} left)"
        if file.why
        else "it would not settle in run_wait_s"
    )


def format_remaining(files: Sequence["WaitingFile"]) -> Iterator[str]:
    """Return the lines on files that stay in the inbox, below the summary of a run; the deferred ones last."""
    files, label = sorted(files, key=lambda file: file.deferred is not None), ""
    for file in files[:_MAX_DEFERRED]:
        label, verb = ("deferred", "tried again") if file.deferred else ("waiting ", "read")
        again = f"{verb} in {format_duration(file.wait_s)}" if file.wait_s else f"{verb} by the next run"
        why = file.deferred.file.why if file.deferred else file.why
        yield f"  {label}  {text.escape(file.path)}: {text.escape(why)}; {again}"
    if len(files) > _MAX_DEFERRED:
        yield f"  {label}  and {len(files) - _MAX_DEFERRED} more (`digitrec status`)"


def format_requeued(original: "RequeuedFile") -> str:
    """Return the line of `requeue` for an original."""
    return f"{text.escape(original.source.claim.location)} -> {text.escape(original.location)}"


def format_pruned(batch: "PruneCandidate") -> str:
    """Return the line of `prune` for a batch."""
    report = f", report {format_bytes(batch.report_bytes)}" if batch.report else ""
    originals = f"{pluralize(len(batch.claims), 'original')} {format_bytes(batch.original_bytes)}"
    return f"{batch.batch_id}  {batch.answered_at[:10]}  {originals}{report}"


def pruned_to_json(batch: "PruneCandidate") -> dict[str, object]:
    """Return a batch of `prune --json`."""
    return {
        "batch_id": batch.batch_id,
        "worker": batch.worker,
        "answered_at": batch.answered_at,
        "originals": [text.escape(claim.location) for claim in batch.claims],
        "original_bytes": batch.original_bytes,
        "report": text.escape(str(batch.report)) if batch.report else None,
        "report_bytes": batch.report_bytes,
        "kept": [text.escape(path) for path in batch.modified],
    }


def format_pruned_total(batches: Sequence["PruneCandidate"]) -> str:
    """Return the total of `prune`."""
    originals = sum(len(batch.claims) for batch in batches)
    room = format_bytes(sum(batch.original_bytes + batch.report_bytes for batch in batches))
    reports = sum(batch.report is not None for batch in batches)
    return f"{pluralize(originals, 'original')} and {pluralize(reports, 'report')}, {room}"


def format_passed_over(passed: "SkippedCounts") -> Iterator[str]:
    """Return a line on the files that can never be claimed at their location; nothing if there are none."""
    counts = {"with too long a path": passed.too_long, "on another filesystem": passed.elsewhere}
    if total := sum(counts.values()):
        parts = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
        yield f"{pluralize(total, 'file')} passed over: {parts} (`digitrec doctor` says what to do)"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def format_duration(seconds: float) -> str:
    """Return a duration in a suitable unit.

    >>> [format_duration(seconds) for seconds in (3.2, 200, 10_000, 400_000)]
    ['3 s', '3 min', '2.8 h', '4.6 days']
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} days"


def format_bytes(count: int | None) -> str:
    """Return a number of bytes in a suitable unit.

    >>> format_bytes(900), format_bytes(2_500_000), format_bytes(None)
    ('900 bytes', '2.5 MB', 'unknown')
    """
    if count is None:
        return "unknown"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
