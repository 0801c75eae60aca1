"""Format the figures of a soak test: as JSON and as Markdown tables."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.soak.account import Account
from benchmarks.soak.life import Life, ProcessSample
from benchmarks.tables import pipe_table

Figures = dict[str, Any]
_WARM_S = 45.0
"""A process counts from then on: before, it imports, loads its networks and reads what waited."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Values over time, to tell warm-up, which ends, from a leak, which raises every quarter alike."""

    quarters: tuple[float, ...]
    """Median of each quarter of the samples."""
    most: float
    per_hour: float
    """Slope of a straight line through the second half."""

    @classmethod
    def of(cls, at_s: Sequence[float], values: Sequence[float]) -> "Trend | None":
        """Return the trend of values over time; None of fewer than eight.

        >>> hour = range(0, 3600, 100)
        >>> Trend.of(hour, [min(100.0, at_s / 10) for at_s in hour])
        Trend(quarters=(40.0, 100.0, 100.0, 100.0), most=100.0, per_hour=0.0)
        >>> Trend.of(hour, [at_s / 36 for at_s in hour]).quarters
        (11.11111111111111, 36.111111111111114, 61.111111111111114, 86.11111111111111)
        """
        if len(values) < 8:
            return None
        ends = [len(values) * quarter // 4 for quarter in range(5)]
        quarters = tuple(statistics.median(values[start:end]) for start, end in pairwise(ends))
        half = slice(ends[2], None)
        slope = statistics.linear_regression([at / 3600 for at in at_s[half]], values[half]).slope
        return cls(quarters, max(values), slope)


def trends(samples: Sequence[ProcessSample]) -> dict[str, Trend]:
    """Of everything that could grow, from what was seen of warm processes."""
    warm = [sample for sample in samples if sample.age_s >= _WARM_S]
    at_s = [sample.at_s for sample in warm]
    result = {}
    for name in ("rss_mb", "anon_mb", "descriptors", "threads", "children", "children_mb"):
        trend = Trend.of(at_s, [float(getattr(sample, name)) for sample in warm])
        if trend is not None:
            result[name] = trend
    return result


def figures(account: Account, lives: Sequence[Life]) -> Figures:
    """Everything that follows from the account and the lives."""
    samples = [sample for life in lives for sample in life.samples]
    longest = max(lives, key=lambda life: (life.ended_s or 0.0) - life.began_s)
    return {
        "account": {
            "files": account.files,
            "withdrawn": account.withdrawn,
            "answered": account.answered,
            "pages": account.rows,
            "tables": account.tables,
            "originals": account.originals,
            "waiting": account.waiting,
            "lost": len(account.lost),
            "doubled": len(account.doubled),
            "wrong": len(account.wrong),
            "first_complaints": (account.lost + account.doubled + account.wrong)[:20],
        },
        "latency_s": {kind: latency(values) for kind, values in sorted(account.latencies_s.items())},
        "lives": len(lives),
        "ends": dict(Counter(life.how for life in lives)),
        "ends_in_the_midst": sum(life.in_the_midst for life in lives if life.how != "SIGTERM"),
        "over_lives": {name: _plain(trend) for name, trend in trends(samples).items()},
        "longest_life": {
            "minutes": ((longest.ended_s or longest.began_s) - longest.began_s) / 60,
            "trends": {name: _plain(trend) for name, trend in trends(longest.samples).items()},
            "memory": [
                (round(sample.age_s), round(sample.rss_mb, 1), sample.descriptors) for sample in longest.samples[::15]
            ],
        },
        "heartbeat": dict(Counter(sample.doing for sample in samples)),
        "sights": len(samples),
    }


def of_server(life: Life) -> Figures:
    """What could grow in the server of the web application."""
    return {"trends": {name: _plain(trend) for name, trend in trends(life.samples).items()}}


def latency(values: Sequence[float]) -> Mapping[str, float]:
    """How long answers took, seconds.

    >>> latency([4.0, 2.0, 3.0])
    {'files': 3, 'median': 3.0, 'p95': 4.0, 'most': 4.0}
    """
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"files": len(ordered), "median": statistics.median(ordered), "p95": p95, "most": ordered[-1]}


def markdown(results: Figures) -> str:
    """The figures as tables, for a page."""
    account, about, people = results["account"], results["about"], results["people"]
    judgements = f"{len(people['lost'])}, {len(people['doubled'])}"
    reviewed = "{judged:,}, {undone:,}; {finished:,}".format(**people)
    uploaded = "{uploads:,}, {uploads_refused:,}".format(**people)
    home_ms = {name: 1000 * value for name, value in latency(people["home_s"]).items()}
    per_file = results["ledger_bytes"] / max(1, account["answered"])
    with_calm = f"{about['minutes']:g} minutes with kills, {about['calm_minutes']:g} without"
    tables = f"{results['tables_removed']}; {results['tables_not_back']}"
    ignored = f"{results['strangers_gone']} of {results['strangers']}"
    shared = f"{about['cores']} cores shared with other work (load {about['load']})"
    trends_ = [
        *_trends("all lives", results["over_lives"]),
        *_trends(f"the longest life, {results['longest_life']['minutes']:.0f} min", results["longest_life"]["trends"]),
        *_trends("`digitrec serve`", people["trends"]),
    ]
    facts = [
        ("files dropped", f"{account['files']:,} in {results['bursts']:,} arrivals"),
        ("of these deleted or overwritten by their sender before a claim", f"{account['withdrawn']:,}"),
        ("answered, in so many rows of so many tables", "{answered:,}, {pages:,}, {tables:,}".format(**account)),
        ("of these broken on purpose, or empty", f"{results['broken']:,}"),
        ("still in the inbox at the end", f"{account['waiting']}"),
        ("**lost**", f"**{account['lost']}**"),
        ("**doubled**", f"**{account['doubled']}**"),
        ("other complaints: names, places, pages, whole files rejected", f"{account['wrong']}"),
        ("tables seen half, or changed after they were seen", f"{results['tables_half']}, {results['tables_changed']}"),
        ("tables removed at the end; of these not back after `verify --rebuild --tables`", tables),
        ("ignored kinds claimed (hidden, half-written, links, pipes)", ignored),
        ("`digitrec verify`", f"exit {results['verify']['exit']}"),
        ("lives, and how they ended", f"{results['lives']}: {_counted(results['ends'])}"),
        ("kills while files lay claimed", f"{results['ends_in_the_midst']}"),
        ("ends that nobody caused; processes left behind", f"{len(results['bad_ends'])}; {results['left_behind']}"),
        ("tracebacks in the log", f"{results['tracebacks']}"),
        ("`digitrec status --check`, asked every minute", _counted(results["health"])),
        ("heartbeat, seen every two seconds", _counted(results["heartbeat"])),
        ("files uploaded to `digitrec serve`, refused as no picture", uploaded),
        ("judgements in the review, of these taken back; corrected tables", reviewed),
        ("**judgements lost, doubled**", f"**{judgements}**"),
        ("other complaints about `digitrec serve`: failed requests, tracebacks, exit code", f"{len(people['wrong'])}"),
        ("the home page's state, median, 95th, longest", "{median:.0f}, {p95:.0f}, {most:.0f} ms".format(**home_ms)),
        ("ledger at the end, with its log", f"{results['ledger_bytes'] / 1e6:.1f} MB, {per_file:,.0f} bytes a file"),
    ]  # fmt: skip
    parts = [
        f"**{about['made_at']}, {about['machine']}, {shared}; {with_calm}; `{about['options']}`; {about['commit']}**",
        pipe_table([("what", "here"), *facts]),
        "**From complete to in a published table, seconds** (two seconds of settling and the dead times included)",
        pipe_table([("files", "how many", "median", "95th", "longest"), *_latencies(results["latency_s"])]),
        "**What could grow**, seen every two seconds in processes older than 45 s: median of each quarter of that time",
        pipe_table([_HEADS, *trends_]),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


_HEADS = ("where", "what", "first quarter", "second", "third", "last", "most", "slope an hour, second half")
_WORDS = {
    "rss_mb": "memory, MB resident",
    "anon_mb": "of it its own, MB",
    "descriptors": "open files",
    "threads": "threads",
    "children": "processes it started",
    "children_mb": "memory of these, MB",
}


def _latencies(results: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    words = {"whole": "whole", "broken": "broken (30 s of grace)", "empty": "empty, never filled"}
    return [
        (words[kind], f"{row['files']:,}", f"{row['median']:.1f}", f"{row['p95']:.1f}", f"{row['most']:.1f}")
        for kind, row in results.items()
    ]


def _trends(where: str, results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            where,
            _WORDS[name],
            *(f"{value:.0f}" for value in (*row["quarters"], row["most"])),
            f"{row['per_hour']:+.1f}",
        )
        for name, row in results.items()
    ]


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(numbers.items()))


def _plain(trend: Trend) -> Mapping[str, Any]:
    quarters = [round(value, 3) for value in trend.quarters]
    return {"quarters": quarters, "most": round(trend.most, 3), "per_hour": round(trend.per_hour, 3)}


def memory_by_life(lives: Sequence[Life]) -> list[tuple[float, float]]:
    """Of each life that lasted: its length in minutes, and the median of its memory, MB."""
    rows = []
    for life in lives:
        warm = [sample.rss_mb for sample in life.samples if sample.age_s >= _WARM_S]
        if warm and life.ended_s is not None:
            rows.append(((life.ended_s - life.began_s) / 60, statistics.median(warm)))
    return rows


def longest_gap_s(samples: Sequence[ProcessSample]) -> float:
    """Longest time between two looks: what the harness itself missed, seconds."""
    return max((after.at_s - before.at_s for before, after in pairwise(samples)), default=0.0)
