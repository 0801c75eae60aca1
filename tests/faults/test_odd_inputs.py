"""Odd names, labels, stat fields, depths, clocks and settings through the whole service: nothing lost, nothing stuck.

The reader is a stand-in: what is decoded is tested elsewhere. `make faults` runs the long form.
"""

import dataclasses
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from digitrec.arrays import PageResult
from digitrec.errors import RejectedImage, SettingsError
from digitrec.monitoring import backlog, history
from digitrec.monitoring.doctor import run_checks
from digitrec.monitoring.status import ModelStatus, collect_status
from digitrec.pipeline import scanner, workspace
from digitrec.pipeline.batch import BatchPipeline
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.labels import is_labels_file
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.scanner import StabilityTracker
from digitrec.settings import FILE_NAME, Settings
from digitrec.storage.claims import FileSnapshot
from digitrec.text import unescape_cell
from digitrec.types import Box, Reason
from tests.conftest import ServiceHarness, in_folder
from tests.deep import deepen, remove
from tests.faults.scene import IS_LONG

pytestmark = pytest.mark.slow

EXAMPLES = 2000 if IS_LONG else 40
YEAR_S = 365.25 * 86_400
MEMORY = Path("/dev/shm")
PROFILE: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
}
GOOD, CUT_OFF, NO_PICTURE = b"picture ", b"cut off ", b"nothing "


class StandIn:
    """Page reader of the tests: a digit by the sum of the bytes, or a rejection."""

    classifier = type("Named", (), {"fingerprint": "stand-in"})

    def read_files(self, files: Iterable[bytes], *_: object) -> list[list[PageResult] | RejectedImage]:
        return [self._read(file) for file in files]

    def _read(self, data: bytes) -> list[PageResult] | RejectedImage:
        if data.startswith(GOOD):
            scores = np.full((1, 11), 0.001, np.float32)
            scores[0, sum(data) % 10] = 0.99
            boxes = (Box(1, 2, 3, 4),)
            ink, preview = np.zeros((1, 28, 28), np.float32), np.zeros((4, 4), np.uint8)
            return [PageResult(1, "png", 10, 10, boxes, ink, preview, scores=scores)]
        if not data:
            return RejectedImage(Reason.EMPTY_FILE)
        return RejectedImage(Reason.TRUNCATED if data.startswith(CUT_OFF) else Reason.NOT_AN_IMAGE)


@dataclasses.dataclass
class OddHarness(ServiceHarness):
    """Workspace with large inodes and with a fake clock and reader."""

    reader: Any = dataclasses.field(default_factory=StandIn)
    add_to_inode: int = 0

    def stat(self, state: os.stat_result) -> os.stat_result:
        fields = {name: getattr(state, name) for name in dir(state) if name.startswith("st_")}
        inode = (state.st_ino + self.add_to_inode) % 2**64
        return os.stat_result([state.st_mode, inode, *state[2:10]], fields)

    def look(self) -> list[FileSnapshot]:
        return list(
            scanner.scan(
                self.inbox, lambda *_: None, stat_of=lambda entry: self.stat(entry.stat(follow_symlinks=False))
            )
        )

    @contextmanager
    def at_work(self) -> Iterator[BatchPipeline]:
        with super().at_work() as pipeline:
            fstat: Callable[[int], os.stat_result] = lambda descriptor: self.stat(os.fstat(descriptor))  # noqa: E731
            read = dataclasses.replace(pipeline.reader.read, fstat=fstat)
            inbox = OddInbox(pipeline.inbox.root, pipeline.inbox.worker, self)  # type: ignore[attr-defined]
            yield dataclasses.replace(
                pipeline,
                inbox=inbox,
                claimer=dataclasses.replace(pipeline.claimer, inbox=inbox),
                reader=dataclasses.replace(pipeline.reader, read=read, locate=inbox.location),
            )

    def report_now(self, batch_id: str) -> None:
        if sum(batch_id.encode()) % 10 == 0:  # a tenth of the reports: one takes as long as all other steps
            super().report_now(batch_id)

    def work(self) -> None:
        """Scan twice `settle_s` apart, as the service does, and process the complete files."""
        with self.at_work() as pipeline:
            pipeline.recover()
            settling = StabilityTracker(2.0, 600.0)
            settling.update(self._due(pipeline), 0.0, int(self.now_s * 1e9))
            settled = settling.update(self._due(pipeline), 700.0, int(self.now_s * 1e9))
            pipeline.process_group(sorted(settled))

    def _due(self, pipeline: BatchPipeline) -> list[FileSnapshot]:
        held = pipeline.ledger.deferred(self.now_s)
        return [file for file in self.look() if file.identity not in held]


class OddInbox(Inbox):
    """Inbox that returns the stat fields of this filesystem."""

    def __init__(self, root: Path, worker: str, harness: OddHarness) -> None:
        super().__init__(root, worker)
        self._desk = harness

    def state(self, batch_id: str, path: str) -> os.stat_result:
        return self._desk.stat(super().state(batch_id, path))


@contextmanager
def odd_harness(add_to_inode: int = 0) -> Iterator[OddHarness]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        root = Path(folder)
        harness = OddHarness(root, Settings(workspace=root, engine="serial"), add_to_inode=add_to_inode)
        harness.inbox.mkdir()
        yield harness
        for path in (harness.inbox, harness.outbox):
            remove(path)


NAME = (
    st.binary(min_size=1, max_size=20)
    | st.text(min_size=1, max_size=10).map(lambda text: text.encode(errors="surrogatepass"))
    | st.sampled_from(
        [b"labels.csv", b"=1+1", b"100%41", b"a\nb.png", b"\xff.png", b"\xe2\x80\xae7.png", b"x" * 255, b"~2"]
    )
)
PATH = st.lists(
    NAME.map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")).filter(lambda name: name not in {b".", b".."}),
    min_size=1,
    max_size=4,
).map(b"/".join)
CONTENT = st.sampled_from([GOOD, CUT_OFF, NO_PICTURE, b""])
TIMES_NS = st.sampled_from([0, 1, -1, 2**31, 2**31 * 10**9, 2**63 - 1, 2**63, -(2**62)]) | st.integers(-(2**62), 2**64)
INODES = st.sampled_from([0, 1, 2**31, 2**63 - 10**9, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
JUMPS_S = st.sampled_from([0.0, 0.0, 60.0, -60.0, -3600.0, 50 * YEAR_S, -49 * YEAR_S]) | st.floats(
    -50 * YEAR_S, 50 * YEAR_S
)
LABELS = (
    st.none()
    | st.binary(max_size=60)
    | st.binary(max_size=60).map(b"file,label\n".__add__)
    | st.lists(st.tuples(PATH, st.binary(max_size=8)), max_size=4).map(
        lambda rows: b"file,label,more\r\n" + b"".join(b'"%s",%s,x\r\n' % row for row in rows)
    )
)


@settings(max_examples=EXAMPLES, **PROFILE)
@given(
    files=st.lists(st.tuples(PATH, CONTENT, TIMES_NS), max_size=5),
    labels=LABELS,
    add_to_inode=INODES,
    jumps_s=st.lists(JUMPS_S, max_size=3),
)
@example(
    files=[(b"7.png", GOOD, 2**63)], labels=b"file,label\n7.png,f\xfcnf\n", add_to_inode=2**63, jumps_s=[50 * YEAR_S]
)
@example(files=[(b"7.png", CUT_OFF, -1)], labels=None, add_to_inode=2**64 - 1, jumps_s=[-49 * YEAR_S, 50 * YEAR_S])
def test_odd_files_are_all_answered_once_and_archived(
    files: Sequence[tuple[bytes, bytes, int]], labels: bytes | None, add_to_inode: int, jumps_s: Sequence[float]
) -> None:
    with odd_harness(add_to_inode) as harness:
        dropped = {}
        for number, (path, kind, mtime_ns) in enumerate(files):
            content = kind + b"%d" % number if kind else b""
            if drop(harness.inbox, path, content, mtime_ns):
                dropped[os.fsdecode(path)] = hashlib.sha256(content).hexdigest()
        if labels is not None and drop(harness.inbox, b"labels.csv", labels, 0):
            dropped["labels.csv"] = hashlib.sha256(labels).hexdigest()
        expected = {
            path: sha256
            for path, sha256 in dropped.items()
            if not scanner.find_ignored_part(path)
            and not (Path(path).name == "labels.csv" and is_labels_file(harness.inbox / path))
        }

        for jump_s in (*jumps_s, 0.0):
            look_at(harness)
            harness.work()
            harness.now_s = min(max(harness.now_s + jump_s, 200 * 86_400.0), 2_000_000_000 + 60 * YEAR_S)
        for _ in range(3):  # at any time of the clock: one grace period and one scan
            harness.now_s += harness.settings.grace_s + 1
            harness.work()

        assert {unescape_cell(row["file"]): row["sha256"] for row in harness.rows()} == expected
        assert len(harness.rows()) == len(expected)
        originals = {**harness.originals("done"), **harness.originals("rejected")}
        digests = sorted(hashlib.sha256(content).hexdigest() for content in originals.values())
        assert set(digests) >= set(expected.values()), "every original is kept"
        assert harness.account().discrepancies == ()
        assert harness.look() == [], "nothing is stuck"


def drop(inbox: Path, path: bytes, content: bytes, mtime_ns: int) -> bool:
    """Drop a file; return False if its name is taken or invalid."""
    at = os.fsencode(inbox) + b"/" + path
    try:
        os.makedirs(os.path.dirname(at), exist_ok=True)  # noqa: PTH103, PTH120 - a name that only bytes can hold
        descriptor = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError:
        return False
    os.write(descriptor, content)
    os.utime(descriptor, ns=(0, mtime_ns))
    os.close(descriptor)
    return True


def look_at(harness: ServiceHarness) -> None:
    """Call every command that scans the inbox."""
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        worker_status = collect_status(harness.settings, ledgers, ModelStatus("stand-in"), harness.now_s)
        assert worker_status.problem == ""
        list(backlog.remaining_files(harness.settings, ledgers, harness.now_s))
        history.trace_file("7.png", harness.settings, ledgers, harness.now_s)
        list(run_checks(harness.settings, ledgers, ModelStatus("stand-in"), harness.now_s))


@settings(max_examples=40 if IS_LONG else 4, **PROFILE)
@given(levels=st.integers(1, 1300), every=st.integers(1, 400))
@example(levels=1300, every=650)
@example(levels=999, every=1)
def test_pictures_at_any_depth_are_answered_once_and_archived(levels: int, every: int) -> None:
    with odd_harness() as harness:
        deepen(harness.inbox, levels, every, GOOD)
        count = levels // every

        look_at(harness)
        harness.work()

        assert len({row["file"] for row in harness.rows()}) == len(harness.rows()) == count
        assert harness.account().discrepancies == ()
        assert harness.look() == []


def test_a_tree_of_3000_levels_is_passed_over_quickly_by_every_command() -> None:
    with odd_harness() as harness:
        deepen(harness.inbox, 3000, every=3000, content=GOOD)
        began_s = time.process_time()

        look_at(harness)
        harness.work()

        assert time.process_time() - began_s < 10
        assert (harness.rows(), harness.account().discrepancies) == ([], ())


TOML = st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="surrogatepass"))
KEYS = ["settle_s", "grace_s", "batch_files", "state_dir", "labels", "engine", "max_error", "worker", "metrics_file"]
NUMBERS = ["1", "-1", "1e400", "nan", "inf", "9" * 400, "1979-05-27", "true", "[]", "{}"]
TEXTS = ['""', '"x"', '"\\u0000"', '"/dev/null"']
PAIRS = st.tuples(st.sampled_from([*KEYS, "x"]), st.sampled_from(NUMBERS + TEXTS))
LINES = st.lists(PAIRS, max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda pairs: "\n".join(f"{key} = {value}" for key, value in pairs).encode()
)


@settings(max_examples=EXAMPLES, **PROFILE)
@given(content=TOML | LINES | LINES.map(b"\xef\xbb\xbf".__add__))
def test_settings_of_any_bytes_are_read_or_refused_in_a_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        (Path(folder) / FILE_NAME).write_bytes(content)
        refused: SettingsError | None = None
        try:
            assert Settings.load(Path(folder)).workspace == Path(folder)
        except SettingsError as why_not:
            refused = why_not
        assert refused is None or (refused.exit_code == 78 and "\n" not in f"{refused} {refused.hint}")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"settle_s = 1e400\n", b"=", b'labels = "\\u0000"\n', b"\xef\xbb\xbfx = 1\n"]
)
def test_odd_settings_end_the_program_with_78_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    result = in_folder(tmp_path, "config")

    assert result.returncode == 78, result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2


def test_a_service_that_opens_the_workspace_takes_odd_folders_as_they_are() -> None:
    with odd_harness() as harness:
        (harness.inbox / os.fsdecode(b"\xff")).mkdir()
        with workspace.open_workspace(harness.settings) as space:
            assert list(space.scan(lambda *_: None)) == []
