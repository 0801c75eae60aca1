"""Run `digitrec watch` for an hour with arrivals of every kind and kill it every few minutes; then reconcile.

All the time `digitrec serve` runs over the same workspace, and people upload and review there.
`python -m benchmarks.soak --minutes 60 --out soak.json --into docs/dev/soak.md`. It is not killed during the last
`--calm-minutes`, so that one process lives long enough to show a leak. `--markdown soak.json --into docs/dev/soak.md`
only writes what was measured.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tables
from benchmarks.process import ROOT, cores, processor
from benchmarks.soak import pool, report
from benchmarks.soak.account import account
from benchmarks.soak.arrivals import MOST, Arrivals
from benchmarks.soak.life import Watch, kill_plan
from benchmarks.soak.oddities import MANNERS, OddArrivals
from benchmarks.soak.people import People
from digitrec.storage import folder_id

_TICK_S = 0.05
_LOOK_S, _HEALTH_S = 2.0, 60.0
_LONGEST_REST_S = 900.0
_OPTIONS = ("--empty-wait-s", "60")
"""By default an empty file waits ten minutes: too long to wait for at the end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how often."""

    seed: int
    minutes: float
    """With kills."""
    calm_minutes: float
    """After that, without."""
    pause_s: float = 16.0
    """Between two arrivals, on average."""
    kill_s: tuple[float, float] = (120.0, 240.0)
    """Between a start and the end that follows."""
    kills: int | None = None
    """After so many it is left alone, however little time has gone by; None: as many as there is time for."""
    pool: int = 400
    manners: Mapping[str, int] = field(default_factory=lambda: MANNERS)
    most: int = MOST
    """Files of one arrival."""
    review_s: float = 5.0
    """Between two visits of the reviewer, who judges up to eight answers at each."""
    options: tuple[str, ...] = _OPTIONS
    """Of `watch`."""


@dataclass(slots=True)
class Seen:
    """What was noticed on the way."""

    tables: dict[str, str] = field(default_factory=dict)
    """Name -> sha256 at first sight."""
    half: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    health: Counter[str] = field(default_factory=Counter)


def soak(plan: Plan, workspace: Path) -> report.Figures:
    """Run the service in an empty workspace as planned; gives the figures."""
    inbox, stage = workspace / "inbox", workspace / "stage"
    for folder in (inbox, stage):
        folder.mkdir(parents=True)
    say(f"Drawing {plan.pool} files ...")
    samples = pool.draw(plan.pool, plan.seed)
    watch, seen = Watch(workspace, plan.options, time.monotonic()), Seen()
    people = People(workspace, watch.now_s, plan.seed + 3)
    arrivals = OddArrivals(inbox, stage, samples, plan.seed, upload=people.upload)
    load = [os.getloadavg()[0]]
    people.start(plan.review_s)
    try:
        _run_calm(plan, arrivals, watch, seen)
        rested_s = _rest(arrivals, watch, seen)
        load.append(os.getloadavg()[0])
        watch.end("SIGTERM")
    finally:
        people.stop()
        if watch.is_alive:
            watch.end("SIGKILL group")
    say(f"The inbox rests after {rested_s:.0f} s; the account ...")
    _look_at_tables(workspace / "outbox", seen)
    result = account(arrivals.dropped, workspace / "outbox", inbox)
    code, words = watch.verify()
    removed = _remove_tables(workspace / "outbox", plan.seed)
    again, _ = watch.verify("--rebuild", "--tables")
    _look_at_tables(workspace / "outbox", seen)
    log = watch.log.read_text(encoding="utf-8", errors="replace")
    gone = [path for path in arrivals.left_alone if not os.path.lexists(os.path.join(os.fsencode(inbox), path))]  # noqa: PTH118
    newest = max(seen.tables, default="")
    latest = workspace / "outbox" / "latest.csv"
    if newest and hashlib.sha256(latest.read_bytes()).hexdigest() not in seen.tables.values():
        result.wrong.append("latest.csv is none of the tables")
    return {
        "about": _about(plan, load, workspace),
        "bursts": arrivals.bursts,
        "broken": sum(
            item.pages is None or item.manner == "empty" for item in arrivals.dropped if not item.is_withdrawn
        ),
        "manners": dict(Counter(item.manner for item in arrivals.dropped)),
        **report.figures(result, watch.lives),
        "people": people.compare() | report.of_server(people.life),
        "memory_by_life": report.memory_by_life(watch.lives),
        "longest_gap_s": report.longest_gap_s([sample for life in watch.lives for sample in life.samples]),
        "tables_half": len(seen.half),
        "tables_changed": len(seen.changed),
        "tables_removed": len(removed),
        "tables_not_back": sum(not path.exists() for path in removed),
        "strangers": len(arrivals.left_alone),
        "strangers_gone": len(gone),
        "verify": {"exit": code or again, "words": words[-2000:]},
        "bad_ends": watch.bad_ends,
        "left_behind": watch.left_behind,
        "tracebacks": log.count("Traceback"),
        "warnings": _warnings(log),
        "health": dict(seen.health),
        "rested_s": rested_s,
        "ledger_bytes": sum(path.stat().st_size for path in (workspace / ".digitrec" / "main").glob("ledger.sqlite3*")),
    }


def is_well(figures: report.Figures) -> bool:
    """Return True if nothing was lost or doubled, and no guarantee was violated."""
    noughts = ("tables_half", "tables_changed", "tables_not_back", "strangers_gone", "left_behind", "tracebacks")
    is_true = not any(figures[part][name] for part in ("account", "people") for name in ("lost", "doubled", "wrong"))
    return is_true and figures["verify"]["exit"] == 0 and not (figures["bad_ends"] or any(map(figures.get, noughts)))


def _run_calm(plan: Plan, arrivals: Arrivals, watch: Watch, seen: Seen) -> None:
    """Arrivals, looks and kills until the time is over."""
    when, ends = random.Random(plan.seed + 1), random.Random(plan.seed + 2)
    killing_s, over_s = 60 * plan.minutes, 60 * (plan.minutes + plan.calm_minutes)
    burst_s = look_s = start_s = 0.0
    health_s = _HEALTH_S
    end_s, how, waits = kill_plan(ends, *plan.kill_s)
    delay_s: float | None = None
    while (now_s := watch.now_s()) < over_s:
        arrivals.run_due()
        if now_s >= burst_s:
            arrivals.burst(plan.manners, plan.most)
            burst_s = watch.now_s() + when.expovariate(1 / plan.pause_s)
        if now_s >= look_s:
            watch.look()
            look_s = now_s + _LOOK_S
        if now_s >= health_s and watch.is_alive and now_s > start_s + 10:
            seen.health["well" if watch.health() == 0 else "unwell"] += 1
            health_s = now_s + _HEALTH_S
        if not watch.is_alive and now_s >= start_s:
            watch.start()
        if plan.kills is not None and len(watch.lives) > plan.kills and now_s < killing_s:
            killing_s, over_s = now_s, now_s + 60 * plan.calm_minutes
        if watch.is_alive and end_s <= now_s < killing_s:
            if delay_s is None and waits and not watch.is_at_work():
                time.sleep(0.01)
                continue
            if delay_s is None:
                delay_s = now_s + (ends.uniform(0, 1.0) if waits else 0.0)
            if now_s >= delay_s:
                watch.end(how)
                _look_at_tables(watch.log.parent / "outbox", seen)
                doing = "at work" if watch.lives[-1].in_the_midst else ""
                say(f"{now_s / 60:5.1f} min  {len(arrivals.dropped):6} files  {how} {doing}")
                start_s = watch.now_s() + ends.uniform(0, 6)
                in_s, how, waits = kill_plan(ends, *plan.kill_s)
                end_s, delay_s = start_s + in_s, None
        time.sleep(_TICK_S)


def _rest(arrivals: Arrivals, watch: Watch, seen: Seen) -> float:
    """Finish what was begun, then wait until nothing waits in the inbox any more; gives how long that took, seconds."""
    began_s = watch.now_s()
    if not watch.is_alive:
        watch.start()
    foreign_files = {os.path.normpath(path) for path in arrivals.left_alone}
    quiet = 0
    while quiet < 3 and watch.now_s() - began_s < _LONGEST_REST_S:
        arrivals.run_due()
        watch.look()
        waits = arrivals.is_busy() or watch.is_at_work() or _waiting(watch.log.parent / "inbox") - foreign_files
        quiet = 0 if waits else quiet + 1
        time.sleep(0.5)
    _look_at_tables(watch.log.parent / "outbox", seen)
    return watch.now_s() - began_s


def _waiting(inbox: Path) -> set[bytes]:
    """Every file in the inbox but the claims and the marker."""
    walked = folder_id.walk(inbox, enters=lambda path, _: path != ".claimed", failed=lambda *_: None)
    results = {os.fsencode(path) for path, entry in walked if not folder_id.is_folder(entry)}
    return results - {b".digitrec-folder"}


def _remove_tables(outbox: Path, seed: int) -> list[Path]:
    """Remove half of the tables, for `verify --rebuild --tables` to write again; return where they were."""
    tables = sorted(path for path in outbox.glob("*Z-????????*.csv"))
    removed = random.Random(seed).sample(tables, len(tables) // 2)
    for path in removed:
        path.unlink()
    return removed


def _look_at_tables(outbox: Path, seen: Seen) -> None:
    """Whatever table is visible is complete, and never changes."""
    if not outbox.is_dir():
        return
    for path in outbox.glob("*Z-????????.csv"):
        content = path.read_bytes()
        if not content.endswith(b"\r\n"):
            seen.half.add(path.name)
        digest = hashlib.sha256(content).hexdigest()
        if seen.tables.setdefault(path.name, digest) != digest:
            seen.changed.add(path.name)


def _warnings(log: str) -> Mapping[str, int]:
    """What the service warned of, how often."""
    results: Counter[str] = Counter()
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            results["(no log line)"] += 1
            continue
        if entry.get("level", "info").lower() != "info":
            results[str(entry.get("event", entry.get("message", "?")))] += 1
    return dict(results.most_common())


def _about(plan: Plan, load: Sequence[float], workspace: Path) -> Mapping[str, object]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "made_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": processor(),
        "cores": cores(),
        "load": ", ".join(f"{value:.1f}" for value in load),
        "filesystem": folder_id.get_filesystem(workspace),
        "seed": plan.seed,
        "minutes": plan.minutes,
        "calm_minutes": plan.calm_minutes,
        "options": " ".join(plan.options),
        "commit": f"commit {commit.stdout.strip()}" if commit.returncode == 0 else "no commit",
    }


def say(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, write what was measured, and exit 1 if anything was lost, doubled or otherwise wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long with kills")
    parser.add_argument("--calm-minutes", type=float, default=15.0, help="how long without, after that")
    parser.add_argument("--seed", type=int, default=0, help="of the files, the arrivals and the kills")
    parser.add_argument("--pause-s", type=float, default=16.0, help="between two arrivals, on average")
    parser.add_argument("--kill-s", type=float, nargs=2, default=(120.0, 240.0), help="a life's shortest and longest")
    parser.add_argument("--options", default=" ".join(_OPTIONS), help="of `digitrec watch`, as one argument")
    parser.add_argument(
        "--work", type=Path, help="an empty folder on a disk, kept. Default: a temp folder, removed if all is well"
    )
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="run nothing: take the figures of this file")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put the tables into this page, between its marks")
    given = parser.parse_args(arguments)
    if given.markdown:
        results = json.loads(given.markdown.read_text(encoding="utf-8"))
    else:
        work = (given.work or Path(tempfile.mkdtemp(prefix="digitrec-soak-"))).resolve()
        say(f"The workspace is {work}")
        times = (given.seed, given.minutes, given.calm_minutes, given.pause_s, (given.kill_s[0], given.kill_s[1]))
        results = soak(Plan(*times, options=tuple(given.options.split())), work)
        if given.out:
            given.out.write_text(json.dumps(results, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
        if given.work is None and is_well(results):
            subprocess.run(["rm", "-rf", str(work)], check=True)  # shutil ends in a RecursionError where it is deep
    page = report.markdown(results)
    if given.into:
        given.into.write_text(tables.inserted(given.into.read_text(encoding="utf-8"), page), encoding="utf-8")
    else:
        print(page, end="")
    if not is_well(results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
