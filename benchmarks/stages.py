"""Where the CPU of `digitrec run` goes: `python -m benchmarks.stages WORKSPACE OUT.json [--model MODEL]`.

A run like any other, in a process of its own, in which the functions of each stage are replaced by ones that read the
thread's CPU clock before and after. What a stage calls that is a stage itself counts for that one, not for both; under
a stage of `WHOLE` everything counts for it. A profiler would slow down what calls much more than what computes.
"""

import argparse
import functools
import importlib
import inspect
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import GeneratorType
from typing import Any

START, REST = "start: Python and imports", "everything else"

STAGES: Mapping[str, Sequence[str]] = {
    "start: model": ("digitrec.app.composition:open_model", "digitrec.app.composition:load_page_reader"),
    "start: folders, lock, ledger": ("digitrec.pipeline.workspace:open_workspace",),
    "look, settle": ("digitrec.pipeline.scanner:scan", "digitrec.pipeline.scanner:StabilityTracker.update"),
    "claim": ("digitrec.pipeline.inbox:Inbox.claim", "digitrec.pipeline.inbox:Inbox.make_durable"),
    "open, hash": ("digitrec.pipeline.read_files:_read_file",),
    "decode": (
        "digitrec.images.decode:decode_pages",
        "digitrec.images.decode:require_format",
        "digitrec.images.decode:DecodedPage.at_least_px",
    ),
    "imaging": ("digitrec.recognition.reader:PageReader.read_files",),
    "glance": ("digitrec.recognition.fast_path:run_fast_path", "digitrec.recognition.zoom:zoom"),
    "digits' network": ("digitrec.recognition.classifier_litert:LiteRTDigitClassifier.score",),
    "second look": (
        "digitrec.recognition.full_path:run_full_path",
        "digitrec.recognition.fast_path:confirm_fast_path",
        "digitrec.recognition.fast_path:confirm_zoom",
    ),
    "judge": ("digitrec.pipeline.outcomes:OutcomeBuilder.decide_outcomes",),
    "ledger": ("digitrec.storage.ledger:Ledger.*",),
    "publish": ("digitrec.pipeline.archive:FolderOutbox.publish",),
    "file away": (
        "digitrec.pipeline.archive:FolderOutbox.archive",
        "digitrec.pipeline.archive:FolderOutbox.clean_up",
        "digitrec.pipeline.inbox:Inbox.close",
    ),
    "report": ("digitrec.app.reports:write_report",),
}
"""Stage -> its functions, `module:name`, `module:Class.method`, or `module:Class.*` for all its public methods."""
WHOLE = frozenset({"second look"})
"""It asks the classifier, too; that is part of it."""


class Clocks:
    """CPU seconds of each stage, over all threads."""

    def __init__(self, now_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self._now_ns = now_ns
        self._mine = threading.local()
        self._all: list[Counter[str]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What this thread does meanwhile counts for the stage."""
        mine = self._mine
        if not hasattr(mine, "stack"):
            mine.stack, mine.spent, mine.since_ns = [], Counter(), 0
            self._all.append(mine.spent)
        if mine.stack and mine.stack[-1] in WHOLE:
            yield
            return
        self._charge()
        mine.stack.append(name)
        try:
            yield
        finally:
            self._charge()
            mine.stack.pop()

    def _charge(self) -> None:
        now_ns = self._now_ns()
        if self._mine.stack:
            self._mine.spent[self._mine.stack[-1]] += now_ns - self._mine.since_ns
        self._mine.since_ns = now_ns

    def spent_s(self) -> dict[str, float]:
        """Seconds, by stage."""
        total: Counter[str] = Counter()
        for one in self._all:
            total.update(one)
        return {name: ns / 1e9 for name, ns in total.items()}

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function, its time counted; if it gives a generator or something for `with`, that one's time, too."""

        @functools.wraps(function)
        def wrapper(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                result = function(*arguments, **named)
            if isinstance(result, GeneratorType):
                return self._stepped(result, name)
            return self._held(result, name) if isinstance(result, AbstractContextManager) else result

        return wrapper

    def _stepped(self, generator: Iterator[Any], name: str) -> Iterator[Any]:
        nothing = object()
        while True:
            with self.stage(name):
                item = next(generator, nothing)
            if item is nothing:
                return
            yield item

    @contextmanager
    def _held(self, manager: AbstractContextManager[Any], name: str) -> Iterator[Any]:
        """Beginning and end count for the stage, what is done in between does not."""
        with ExitStack() as held:
            with self.stage(name):
                value = manager.__enter__()

            @held.push
            def leave(*why: Any) -> bool | None:
                with self.stage(name):
                    return manager.__exit__(*why)

            yield value


def functions() -> Iterator[tuple[str, Any, str]]:
    """Every function of every stage: the stage, what it is an attribute of, and its name there.

    Raises:
        AttributeError, ModuleNotFoundError: it was renamed; STAGES has to follow.
    """
    for stage, names in STAGES.items():
        for name in names:
            module, _, path = name.partition(":")
            owner = importlib.import_module(module)
            *outer, last = path.split(".")
            for each in outer:
                owner = getattr(owner, each)
            lasts = [each for each, _ in inspect.getmembers(owner, inspect.isfunction)] if last == "*" else [last]
            for each in lasts:
                if last != "*" or not each.startswith("_"):
                    getattr(owner, each)
                    yield stage, owner, each


def clock_all(clocks: Clocks) -> None:
    """Replace every function of every stage, wherever a module of ours has it by name."""
    for stage, owner, name in list(functions()):
        if inspect.isclass(owner):
            if isinstance(owner.__dict__.get(name), staticmethod | classmethod):
                continue
            setattr(owner, name, clocks.timed(getattr(owner, name), stage))
            continue
        original = getattr(owner, name)
        timed = clocks.timed(original, stage)
        for module in [one for known, one in sys.modules.items() if known.partition(".")[0] == "digitrec"]:
            for known in [known for known, value in vars(module).items() if value is original]:
                setattr(module, known, timed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run once, and write what each stage took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    given = parser.parse_args(arguments)
    from digitrec.app.run import run_once
    from digitrec.cli import main  # noqa: F401 - the command line is part of what starts
    from digitrec.settings import Settings

    clocks = Clocks()
    clock_all(clocks)
    start_s = time.process_time()
    in_here = {"settle_s": 0.0, "engine": "threads"}  # what a child does, its clock alone knows
    run_once(Settings.load(given.workspace, {"model": given.model} | in_here))
    cpu_s = time.process_time()
    spent = {START: start_s, **clocks.spent_s()}
    found = {name: spent.get(name, 0.0) for name in (START, *STAGES)}
    found[REST] = max(0.0, cpu_s - sum(found.values()))
    given.out.write_text(json.dumps({"cpu_s": cpu_s, "of_stage": found}), encoding="utf-8")


if __name__ == "__main__":
    main()
