"""Fixtures: a temporary workspace with drawn pictures, a small classifier and its own clock."""

import csv
import ctypes
import functools
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import typer.main
from hypothesis import settings as hypothesis_settings

from digitrec import logs
from digitrec.app import reports
from digitrec.cli import main
from digitrec.monitoring import verify
from digitrec.pipeline import rebuild, workspace
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.batch import BatchPipeline
from digitrec.pipeline.batch_reader import BatchReader, GuardedReader, SuspectFiles
from digitrec.pipeline.claiming import Claimer
from digitrec.pipeline.executor import SerialExecutor
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.outcomes import OutcomeBuilder
from digitrec.pipeline.scanner import scan
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.claims import FileSnapshot
from digitrec.text import format_utc
from digitrec.training.characters import crop_characters
from digitrec.types import OutputFormat, Thresholds
from tests.nearest_mean import NearestMeanClassifier

# No deadline: the test machines are shared, so the time of one example varies.
hypothesis_settings.register_profile("digitrec", deadline=None)
hypothesis_settings.register_profile("fast", deadline=None, max_examples=20)
hypothesis_settings.register_profile("long", deadline=None, max_examples=2000)
_PROFILE = "fast" if os.environ.get("DIGITREC_FAST") else "long" if os.environ.get("DIGITREC_FAULTS") else "digitrec"
hypothesis_settings.load_profile(_PROFILE)
typer.main.get_command = functools.cache(typer.main.get_command)  # else each call of main() builds all commands, 0.1 s
DEFAULT_SIGNALS = ("env", "--default-signal")
"""Start of a command that is to react to signals, although the tests run under `nohup` or behind a script's `&`."""
_SLOW_FILE = re.compile(rb"^pytestmark = \[?\s*pytest\.mark\.slow", re.MULTILINE)


def pytest_configure(config: pytest.Config) -> None:
    """Set a home for Keras: it would read MNIST in the user's, and delete a file that it cannot download again."""
    home = tempfile.TemporaryDirectory(prefix="digitrec-keras-")  # before any test module imports Keras
    config.add_cleanup(home.cleanup)
    os.environ["KERAS_HOME"] = home.name


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out, in `make fast`, the files that are `slow` as a whole: importing them alone takes seconds."""
    if _PROFILE != "fast" or collection_path.suffix != ".py":
        return None
    return True if _SLOW_FILE.search(collection_path.read_bytes()) else None


def draw(digit: int, *, shift: int = 0) -> bytes:
    """Return a digit, dark on light, as PNG; another `shift` gives other bytes."""
    paper = np.full((80, 60), 235, np.uint8)
    cv2.putText(paper, str(digit), (12 + shift, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.8, 30, 4, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", paper)[1])


@functools.cache
def reader() -> PageReader:
    """Return a reader trained on the digits that `draw` draws."""
    pictures = [cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE) for digit in range(10)]
    return PageReader(NearestMeanClassifier(np.stack([crop_characters(picture)[0].ink for picture in pictures])))


class InlineChild:
    """Stands for the child process where no process has to die."""

    def call(self, function: Callable[[Any], Any], argument: Any, stopped: Callable[[], bool]) -> Any:
        return function(argument)

    def stop(self) -> None:
        pass


@dataclass
class ServiceHarness:
    """A workspace and what it takes to run it by hand."""

    root: Path
    settings: Settings
    now_s: float = 1_767_323_045.0
    stopped: bool = False
    child: Any = field(default_factory=InlineChild)
    engine: Any = field(default_factory=SerialExecutor)
    reader: PageReader = field(default_factory=reader)
    published: list[str] = field(default_factory=list)
    output_format: Callable[[OutputFormat], OutputFormat] = lambda output_format: output_format
    """Changes the format in which batches are recorded."""

    @property
    def inbox(self) -> Path:
        return self.settings.inbox

    @property
    def outbox(self) -> Path:
        return self.settings.outbox

    def drop(self, name: str, content: bytes | None = None) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(7) if content is None else content)
        old_s = int(self.now_s) - 600
        os.utime(path, (old_s, old_s))
        return path

    def set(self, **settings: Any) -> None:
        self.settings = replace(self.settings, **settings)

    @contextmanager
    def at_work(self) -> Iterator[BatchPipeline]:
        with workspace.open_workspace(self.settings) as space:
            inbox, ledger = space.inbox, space.ledger
            outcome_builder = OutcomeBuilder(ledger, Thresholds(0.5, 0.5), self.settings.grace_s, lambda: self.now_s)
            yield BatchPipeline(
                inbox=inbox,
                ledger=ledger,
                outbox=FolderOutbox(self.outbox, inbox),
                claimer=Claimer(inbox, ledger, outcome_builder, lambda: self.now_s, lambda: self.now_s, logs.info),
                reader=BatchReader(
                    self.engine,
                    self.child,
                    GuardedReader(self.settings.limits, self.reader),
                    inbox.location,
                    lambda: self.stopped,
                ),
                suspects=SuspectFiles(ledger),
                outcome_builder=outcome_builder,
                load_labels=lambda: LabelLookup(
                    self.inbox, self.settings.labels, from_folders=self.settings.labels_from_folders
                ),
                make_output_format=self._output_format,
                restore_batch=lambda batch_id: rebuild.restore_batch(space.ledger, batch_id, self.outbox, self.inbox),
                check_folders=space.check_folders,
                on_published=self.published.append,
                write_report=self.report_now,
                is_stopped=lambda: self.stopped,
            )

    def report_now(self, batch_id: str) -> None:
        with open_ledgers(self.settings) as ledgers:
            reports.report_batch(self.settings, ledgers[self.settings.worker], batch_id)

    def run(self, *, is_old: bool = True) -> None:
        """Read all files of the inbox once, without settling; the files count as old, or as fresh."""
        with self.at_work() as pipeline:
            pipeline.recover()
            deferred = pipeline.ledger.deferred(self.now_s)
            snapshots = [snapshot for snapshot in self.look() if snapshot.identity not in deferred]
            changed_ns = int((self.now_s - (600 if is_old else 1)) * 1e9)
            snapshots = sorted(snapshot._replace(ctime_ns=changed_ns) for snapshot in snapshots)
            size = self.settings.batch_files
            for _ in pipeline.process_groups(
                snapshots[start : start + size] for start in range(0, len(snapshots), size)
            ):
                pass
        csv_tables.write_latest(self.outbox, dict.fromkeys(self.published))
        self.published.clear()

    def look(self) -> list[FileSnapshot]:
        return list(scan(self.inbox, lambda *_: None))

    def tables(self) -> list[Path]:
        return sorted(self.outbox.glob("*Z-????????.csv"))

    def rows(self) -> list[dict[str, str]]:
        return [row for path in self.tables() for row in read_csv(path)]

    def originals(self, kind: str = "done") -> dict[str, bytes]:
        """Return the archived originals by their path under the inbox, which must be unique."""
        contents: dict[str, bytes] = {}
        for path in (self.outbox / kind).glob("*/**/*"):
            name = path.relative_to(self.outbox / kind).as_posix().partition("/")[2]
            if path.is_file() and not name.endswith(".reason.json"):
                assert name not in contents
                contents[name] = path.read_bytes()
        return contents

    def account(self) -> verify.IntegrityReport:
        with open_ledgers(self.settings) as ledgers:
            return verify.verify(self.root, ledgers)

    def _output_format(self) -> OutputFormat:
        return self.output_format(
            OutputFormat(
                columns=csv_tables.COLUMNS,
                digit_columns=csv_tables.DIGIT_COLUMNS,
                number_columns=csv_tables.NUMBER_COLUMNS,
                schema_version=csv_tables.SCHEMA_VERSION,
                csv_profile=self.settings.csv_profile,
                model_id=self.reader.classifier.fingerprint,
                app_version="test",
                processed_at=format_utc(self.now_s),
                thresholds=Thresholds(0.5, 0.5),
                max_error=0.005,
            )
        )


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture
def harness(tmp_path: Path) -> ServiceHarness:
    harness = ServiceHarness(tmp_path, Settings(workspace=tmp_path, engine="serial"))
    harness.inbox.mkdir()
    return harness


@pytest.fixture(scope="module")
def quick_training() -> Iterator[None]:
    """Train on less: lines in batches of 8, as every width fills its last batch, few rare forms, no page of tables.

    TensorFlow does not optimize its graphs: that takes longer than the few steps of a test.
    """
    from digitrec.recognition.classifier_keras import start_keras
    from digitrec.training import compare, pipeline_examples, sequence_recognizer
    from digitrec.training.synthetic_evaluation import EvaluationPages

    start_keras()
    import tensorflow

    tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_recognizer, "PARAMS", replace(sequence_recognizer.PARAMS, batch=8))
        patch.setattr(pipeline_examples, "PARAMS", replace(pipeline_examples.PARAMS, forms=8))
        patch.setattr(compare, "_SCANS", 60)
        without_tables = functools.partial(EvaluationPages, table_kinds=("rows",))
        patch.setattr(EvaluationPages, "of", lambda pages: without_tables(pages, pages, max(1, pages // 10)))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: with one of them last, one worker would work alone for minutes."""
    slow_paths = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_paths)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.logs._traces", set())  # what another test has logged is logged again
    monkeypatch.setattr(logging.getLogger("digitrec"), "handlers", [])  # a command leaves its own, on a closed stream
    for name in list(os.environ):
        if name.startswith("DIGITREC_") and name not in {"DIGITREC_REAL", "DIGITREC_GOLDEN"}:
            monkeypatch.delenv(name)
    # Another reader may be installed, whose process starts for seconds: only tests that name it ask it.
    monkeypatch.setenv("DIGITREC_SECOND_OPINION", "off")
    monkeypatch.setitem(Settings.__init__.__kwdefaults__, "second_opinion", "off")


def in_folder(folder: Path, *words: str, can_read_all: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder, in its own process.

    Args:
        folder: the current folder.
        words: the arguments.
        can_read_all: False for a process that the permissions of files hold for, although the user is root.
    """
    return subprocess.run(
        [sys.executable, "-m", "digitrec", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=None if can_read_all else _drop_root_rights,
    )


def _drop_root_rights() -> None:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; no other user has them


class CommandResult(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


RunCommand = Callable[..., CommandResult]


@pytest.fixture
def run_command(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[RunCommand]:
    """Run a command in the desk's workspace; gives its exit code and what it printed."""
    logger = logging.getLogger("digitrec")
    before = (list(logger.handlers), logger.propagate, logger.level)

    def run_command(*words: str, workspace: Path = harness.root) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["digitrec", *words, "--workspace", str(workspace)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main.main()
        code = end.value.code
        assert isinstance(code, int)
        return CommandResult(code, *capsys.readouterr())

    yield run_command
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
