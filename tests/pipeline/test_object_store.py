"""Pictures in a store, tables to a store: a real S3 server on this machine, folders as file://, and fsspec's memory."""

import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from digitrec.app.run import run_once
from digitrec.app.service import RunSummary
from digitrec.errors import BusyError, EnvironmentFailure, UsageError
from digitrec.monitoring.history import trace_file
from digitrec.monitoring.verify import verify
from digitrec.pipeline import object_store
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.rebuild import write_missing_tables
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage import object_client as store_module
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectStore
from tests.conftest import draw, in_folder
from tests.pipeline.test_executor_contract import BATCH, LOOPBACK, TIME


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """Empty bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{abs(hash(request.node.name))}"
    fsspec.filesystem("s3").mkdir(bucket)
    yield f"s3://{bucket}"
    fsspec.filesystem("s3").rm(bucket, recursive=True)


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.slow), "file", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    return f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}"


@pytest.fixture(autouse=True)
def _anew() -> None:
    store_module._open_filesystem.cache_clear()


class Place:
    """A source and an outbox below one URL, and a workspace to read from."""

    def __init__(self, base: str, root: Path) -> None:
        self.base = base
        self.fs, self.root = fsspec.core.url_to_fs(base)
        self.settings = Settings(
            workspace=root / "desk",
            source=f"{base}/in",
            outbox_url=f"{base}/out",
            settle_s=0,
            grace_s=0,
            engine="serial",
            run_retry_s=0,
        )

    def put(self, path: str, content: bytes) -> None:
        name = f"{self.root}/in/{path}"
        self.fs.makedirs(name.rpartition("/")[0], exist_ok=True)
        self.fs.pipe_file(name, content)

    def run(self, **settings: Any) -> RunSummary:
        return run_once(replace(self.settings, **settings))

    def names(self, folder: str = "out") -> list[str]:
        self.fs.invalidate_cache()
        return sorted(name.rpartition("/")[2] for name in self.fs.find(f"{self.root}/{folder}"))

    def rows(self) -> list[dict[str, str]]:
        tables = [name for name in self.names() if name.endswith(".csv") and name.count(".") == 1]
        texts = [
            self.fs.cat_file(f"{self.root}/out/{name}").decode() for name in tables if name != csv_tables.LATEST_NAME
        ]
        return [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]

    def answers(self) -> dict[str, str]:
        return {row["file"]: row["text"] or row["reason_code"] for row in self.rows()}


@pytest.fixture
def place(base: str, tmp_path: Path) -> Place:
    return Place(base, tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """In memory: for what is the same in every store."""
    return Place(f"memory://{tmp_path.name}", tmp_path)


@pytest.mark.slow
def test_a_run_on_object_stores_writes_tables_and_moves_nothing(place: Place) -> None:
    place.put("7.png", draw(7))
    place.put("monday/3.png", draw(3))
    place.put("text.png", b"no picture")
    place.put("7.png.part", b"half")
    place.put(".hidden/1.png", draw(1))

    summary = place.run()

    assert place.answers() == {"7.png": "7", "monday/3.png": "3", "text.png": "not_an_image"}
    assert {row["group"] for row in place.rows()} == {"", "monday"}
    (batch,) = summary.batches
    assert place.names() == sorted(
        [".digitrec-folder", f"{batch}.csv", f"{batch}.digits.csv", f"{batch}.numbers.csv", "latest.csv"]
    )
    assert place.names("in") == ["1.png", "3.png", "7.png", "7.png.part", "text.png"]
    assert not place.settings.inbox.exists()
    assert not place.settings.outbox.exists()
    assert (place.settings.reports / batch / "index.html").is_file()


@pytest.mark.slow
def test_cluster_workers_fetch_objects_and_write_the_same_tables(s3: str, tmp_path: Path) -> None:
    rows = []
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **LOOPBACK) as cluster:
        for engine in ("threads", "dask"):
            place = Place(f"{s3}/{engine}", tmp_path / engine)
            for digit in range(10):
                place.put(f"{digit}.png", draw(digit))
            place.put("cut.png", draw(5)[:200])
            (batch,) = place.run(engine=engine, scheduler=cluster.scheduler_address).batches
            table = place.fs.cat_file(f"{place.root}/out/{batch}.csv")
            rows.append(BATCH.sub(b"BATCH", TIME.sub(b"TIME", table)))

    assert rows[0] == rows[1]
    assert rows[0].count(b"\n") == 12


@pytest.mark.slow
def test_another_run_reads_only_what_is_new_or_changed(place: Place) -> None:
    place.put("7.png", draw(7))
    place.put("8.png", draw(8))
    place.run()
    assert place.run().count.claimed == 0

    place.put("9.png", draw(9))
    place.put("8.png", draw(3, shift=1))
    summary = place.run()

    assert summary.count.claimed == 2
    assert sorted((row["file"], row["text"]) for row in place.rows()) == [
        ("7.png", "7"),
        ("8.png", "3"),
        ("8.png", "8"),
        ("9.png", "9"),
    ]
    latest = place.fs.cat_file(f"{place.root}/out/latest.csv")
    assert latest == place.fs.cat_file(f"{place.root}/out/{summary.batches[0]}.csv")


def test_objects_are_fetched_once_and_too_large_ones_never(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    real = here.fs.cat_file
    monkeypatch.setattr(type(here.fs), "cat_file", lambda _, path, **how: fetched.append(path) or real(path, **how))
    for digit in range(3):
        here.put(f"{digit}.png", draw(digit))
    here.put("large.png", draw(4) + bytes(5000))

    here.run(max_bytes=4000)
    here.run(max_bytes=4000)

    assert sorted(path for path in fetched if "/in/" in path) == [f"{here.root}/in/{digit}.png" for digit in range(3)]
    (large,) = (row for row in here.rows() if row["file"] == "large.png")
    assert (large["reason_code"], large["sha256"]) == ("too_large", "")


def test_recently_changed_objects_stay_for_the_next_run(here: Place) -> None:
    here.put("7.png", draw(7))

    summary = here.run(settle_s=60, run_wait_s=0)

    assert (summary.count.claimed, summary.waiting) == (0, 1)
    assert here.run().count.claimed == 1


def test_objects_that_settle_during_the_run_are_read(here: Place) -> None:
    here.put("7.png", draw(7))

    assert here.run(settle_s=0.5, run_wait_s=5).count.claimed == 1


def test_an_object_that_changes_during_the_read_is_deferred(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    here.put("7.png", draw(7))
    real = here.fs.cat_file

    def changes(_: object, path: str, **how: Any) -> bytes:
        content: bytes = real(path, **how)
        if path.endswith("7.png"):
            time.sleep(0.01)
            here.put("7.png", draw(8))
        return content

    with monkeypatch.context() as patch:
        patch.setattr(type(here.fs), "cat_file", changes)
        assert here.run().count.deferred == 1
    assert here.rows() == []
    here.run()

    assert here.answers() == {"7.png": "8"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [FileNotFoundError("gone"), PermissionError("denied"), OSError("throttled")])
def test_an_unavailable_object_is_deferred_and_others_are_read(
    here: Place, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    for digit in (7, 8):
        here.put(f"{digit}.png", draw(digit))
    real = here.fs.cat_file

    def fails(_: object, path: str, **how: Any) -> bytes:
        if path.endswith("7.png"):
            raise error
        return bytes(real(path, **how))

    with monkeypatch.context() as patch:
        patch.setattr(type(here.fs), "cat_file", fails)
        summary = here.run()

    assert (summary.count.deferred, summary.count.accepted) == (1, 1)
    with open_ledgers(here.settings) as ledgers:
        (event,) = trace_file("7.png", here.settings, ledgers, time.time()).events
    assert event.why == (
        "it is not there any more" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error}"
    )
    assert here.answers() == {"8.png": "8"}
    time.sleep(1.1)  # it is tried again after a second
    here.run()
    assert here.answers() == {"7.png": "7", "8.png": "8"}


@pytest.mark.parametrize("step", ["atomic_create", "write"])
def test_a_crash_between_record_and_publish_is_finished_by_the_next_run(
    here: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    here.put("7.png", draw(7))
    real = getattr(ObjectStore, step)
    calls: list[str] = []

    def crashes(self: ObjectStore, name: str, content: bytes) -> None:
        if name.endswith(".csv") and name.count(".") == 1:
            calls.append(name)
            raise KeyboardInterrupt
        real(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, step, crashes)
        with pytest.raises(KeyboardInterrupt):
            here.run()
    assert len(calls) == 1

    with monkeypatch.context() as patch:
        patch.setattr("digitrec.pipeline.read_files.read_chunk", lambda *_, **__: pytest.fail("read again"))
        here.run()

    assert here.answers() == {"7.png": "7"}
    assert here.run().count.claimed == 0


def test_a_table_with_other_bytes_is_never_replaced(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    here.put("7.png", draw(7))
    monkeypatch.setattr("digitrec.text.new_batch_id", lambda _: "20260102T030405Z-0a1b2c3d")
    here.fs.pipe_file(f"{here.root}/out/20260102T030405Z-0a1b2c3d.csv", b"theirs")

    with pytest.raises(EnvironmentFailure, match="other content"):
        here.run()

    assert here.fs.cat_file(f"{here.root}/out/20260102T030405Z-0a1b2c3d.csv") == b"theirs"


@pytest.mark.slow
def test_a_concurrent_publisher_of_the_same_bytes_is_no_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(f"{place.base}/out")
    store.atomic_create("a.csv", b"same")
    real, looks = ObjectStore.read, []

    def missing_at_first(self: ObjectStore, name: str) -> bytes | None:
        looks.append(name)
        return None if len(looks) == 1 else real(self, name)

    monkeypatch.setattr(ObjectStore, "read", missing_at_first)
    store.atomic_create("a.csv", b"same")
    looks.clear()
    with pytest.raises(FileExistsError):
        store.atomic_create("a.csv", b"other")

    assert real(store, "a.csv") == b"same"


def test_label_objects_are_used_as_labels_and_not_read_as_pictures(here: Place) -> None:
    here.put("set/7.png", draw(7))
    here.put("set/labels.csv", b"file,label\n7.png,7\n")
    here.put("other/labels.csv", b"no labels\n")

    here.run()
    here.run()

    assert {row["file"]: row["label"] for row in here.rows()} == {"set/7.png": "7", "other/labels.csv": ""}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outbox_url": None}, "--source is given without --outbox"),
        ({"source": None}, "--outbox is given without --source"),
        ({"outbox_url": "memory://x/in/out", "source": "memory://x/in"}, "is inside the source"),
        ({"outbox_url": "outbox"}, "no URL"),
        ({"source": "warp://x"}, "cannot be used"),
    ],
)
def test_conflicting_settings_are_refused(here: Place, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        here.run(**settings)

    assert refused.value.exit_code == 2
    assert refused.value.hint


def test_a_ledger_belongs_to_a_single_source_and_outbox(here: Place) -> None:
    here.put("7.png", draw(7))
    here.run()

    with pytest.raises(UsageError, match="reads memory:"):
        here.run(source=f"{here.base}/elsewhere")
    with pytest.raises(UsageError, match="reads memory:"):
        here.run(source=None, outbox_url=None)
    here.settings.inbox.mkdir()
    (here.settings.inbox / "8.png").write_bytes(draw(8))
    here.run(source=None, outbox_url=None, worker="folders")
    with pytest.raises(UsageError, match=r"reads .*/inbox"):
        here.run(worker="folders")


def test_a_wrong_address_can_be_corrected_before_the_first_batch(here: Place) -> None:
    here.put("7.png", draw(7))
    here.run(source=f"{here.base}/typo")

    here.run()

    assert here.answers() == {"7.png": "7"}


@pytest.mark.slow
def test_a_missing_bucket_is_named_and_can_be_corrected(s3: str, tmp_path: Path) -> None:
    place = Place(s3, tmp_path)
    place.put("7.png", draw(7))

    with pytest.raises(EnvironmentFailure, match=r"s3://no-such-bucket/in cannot be listed"):
        place.run(source="s3://no-such-bucket/in")
    with pytest.raises(EnvironmentFailure, match=r"s3://no-such-bucket/out/\.digitrec-folder cannot be written"):
        place.run(outbox_url="s3://no-such-bucket/out")
    place.run()

    assert place.answers() == {"7.png": "7"}


def test_why_explains_an_object(here: Place) -> None:
    here.put("7.png", draw(7))
    here.put("monday/8.png", draw(8))
    here.run()

    with open_ledgers(here.settings) as ledgers:
        exact = trace_file("7.png", here.settings, ledgers, time.time())
        by_part = trace_file("day/8", here.settings, ledgers, time.time())

    (event,) = exact.events
    assert (event.file, event.original, event.has_original) == ("7.png", f"{here.base}/in/7.png", True)
    assert [event.file for event in by_part.events] == ["monday/8.png"]


def test_an_outbox_of_another_ledger_is_refused(here: Place) -> None:
    here.put("7.png", draw(7))
    here.run()

    with pytest.raises(EnvironmentFailure, match="another ledger"):
        here.run(worker="second")
    here.fs.rm_file(f"{here.root}/out/.digitrec-folder")
    with pytest.raises(EnvironmentFailure, match="has lost its"):
        here.run()

    assert here.answers() == {"7.png": "7"}


def test_a_second_run_at_the_same_time_is_refused(here: Place) -> None:
    with object_store.open_object_store(here.settings), pytest.raises(BusyError, match="already running"):
        here.run()


def test_a_damaged_ledger_is_an_environment_failure(here: Place) -> None:
    here.run()
    here.settings.ledger.write_bytes(b"this is no database" * 100)

    with pytest.raises(EnvironmentFailure, match="damaged"):
        here.run()


def test_an_error_of_the_store_is_an_environment_failure(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(type(here.fs), "find", fails)

    with pytest.raises(EnvironmentFailure, match="no credentials"):
        here.run()


def test_verify_covers_object_stores(here: Place) -> None:
    here.put("7.png", draw(7))
    here.put("8.png", draw(8))
    (batch,) = here.run().batches

    def discrepancies() -> tuple[str, ...]:
        with open_ledgers(here.settings) as ledgers:
            return verify(here.settings.workspace, ledgers).discrepancies

    assert discrepancies() == ()
    here.fs.pipe_file(f"{here.root}/out/{batch}.csv", b"changed")
    here.fs.rm_file(f"{here.root}/out/{batch}.digits.csv")
    here.fs.rm_file(f"{here.root}/out/{batch}.numbers.csv")
    assert discrepancies() == (
        f"{batch}.digits.csv is missing",
        f"{batch}.numbers.csv is missing",
        f"{batch}.csv differs from the ledger",
    )


@pytest.mark.parametrize("table", ["digits", "numbers"])
def test_a_lost_table_in_a_store_is_written_again(here: Place, table: str) -> None:
    here.put("7.png", draw(7))
    (batch,) = here.run().batches
    name = f"{here.root}/out/{batch}.{table}.csv"
    before = here.fs.cat_file(name)
    here.fs.rm_file(name)

    with open_ledgers(here.settings) as ledgers:
        written = list(write_missing_tables(here.settings.outbox, ledgers, ()))

    assert written == [f"{batch}.{table}.csv"]
    assert here.fs.cat_file(name) == before


@pytest.mark.slow
def test_the_command_prints_the_address_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "7.png").write_bytes(draw(7))
    words = ("--source", f"file://{tmp_path}/in", "--outbox", f"file://{tmp_path}/out", "--settle-s", "0", "--json")

    summary = json.loads(in_folder(tmp_path, "run", *words).stdout)

    assert summary["accepted"] == 1
    assert Path(summary["batches"][0]["csv"].removeprefix("file://")).is_file()
    watched = in_folder(tmp_path, "watch", *words[:4])
    assert (watched.returncode, "cron" in watched.stderr) == (2, True)


def test_the_ledger_knows_answered_files(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite3")
    assert not ledger.was_answered("7.png", (1, 2, 3))
    ledger.close()
