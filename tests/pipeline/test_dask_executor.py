"""A cluster of processes: workers that die, workers that differ, and one that is not there."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

import digitrec
from digitrec.app import composition
from digitrec.app.run import run_once
from digitrec.errors import EnvironmentFailure, SettingsError, WorkerMismatch
from digitrec.pipeline import dask_executor, task_batch
from digitrec.pipeline.chunk_queue import ChunkTimeout
from digitrec.pipeline.dask_executor import DaskExecutor, DaskParams
from digitrec.pipeline.task_batch import TaskBatch
from digitrec.settings import Settings
from tests.conftest import reader
from tests.pipeline.test_executor_contract import LOOPBACK, fill, running, tables

if TYPE_CHECKING:
    from distributed import LocalCluster

NOBODY = "tcp://127.0.0.1:9"


@pytest.fixture(scope="module")
def cluster() -> "Iterator[LocalCluster]":
    """Two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **LOOPBACK) as cluster:
        yield cluster


@pytest.fixture
def scheduler(cluster: "LocalCluster") -> str:
    return str(cluster.scheduler_address)


@pytest.fixture
def engine(scheduler: str) -> Iterator[DaskExecutor]:
    executor = DaskExecutor(scheduler, timeout_s=30, params=DaskParams(min_chunks=2))
    yield executor
    executor.close()


@pytest.mark.slow
def test_cluster_workers_write_the_same_tables(scheduler: str, tmp_path: Path) -> None:
    for folder, engine in (("plain", "serial"), ("spread", "dask")):
        fill(tmp_path / folder / "inbox")
        run_once(Settings(workspace=tmp_path / folder, engine=engine, scheduler=scheduler, settle_s=0))

    assert tables(tmp_path / "spread") == tables(tmp_path / "plain")


@pytest.mark.slow
def test_each_worker_loads_the_model_once(engine: DaskExecutor) -> None:
    def started(page_reader: object) -> tuple[int, int]:
        time.sleep(0.05)
        return os.getpid(), id(page_reader)

    workers = set(engine.map(started, [reader()] * 12, running))

    assert len(workers) == len({process for process, _ in workers})


@pytest.mark.slow
def test_a_worker_of_another_version_exits_78_before_claiming(scheduler: str, tmp_path: Path) -> None:
    from distributed import Client

    def becomes(version: str) -> None:
        import digitrec

        digitrec.__version__ = version

    fill(tmp_path / "inbox")
    settings = Settings(workspace=tmp_path, engine="dask", scheduler=scheduler, settle_s=0)
    with Client(scheduler, set_as_default=False) as client:
        try:
            client.run(becomes, "0.0.1", workers=[min(client.nthreads())])
            with pytest.raises(WorkerMismatch, match=r"digitrec is 0\.0\.1 there") as refused:
                run_once(settings)
        finally:
            client.run(becomes, digitrec.__version__)

    assert refused.value.exit_code == 78
    assert len(list(settings.inbox.glob("*.png"))) == 27


@pytest.mark.slow
def test_a_killed_worker_changes_no_result(engine: DaskExecutor, tmp_path: Path) -> None:
    mark = str(tmp_path / "killed")

    def dies_once(number: int) -> int:
        if number == 5 and not os.path.exists(mark):  # noqa: PTH110 - it runs elsewhere
            open(mark, "x").close()  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
        return number + 1

    assert list(engine.map(dies_once, range(10), running)) == [*range(1, 11)]
    assert (tmp_path / "killed").exists()


class Gone:
    """Stands for a parcel that was done, and whose results died with their worker before they were fetched."""

    def __init__(self) -> None:
        self.looks = 0

    @property
    def status(self) -> str:
        self.looks += 1
        return "lost" if self.looks < 3 else "finished"

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        callback(self)

    def result(self, timeout: float) -> task_batch.TaskResult:
        assert self.looks >= 3, "the result is computed again first"
        return task_batch.TaskResult([7], None)


def test_results_lost_with_a_worker_are_awaited_again() -> None:
    engine = DaskExecutor.__new__(DaskExecutor)
    engine._params = DaskParams(slice_s=0.01)
    engine._timeout_s = 30.0

    assert engine._wait([Gone()], running) == task_batch.TaskResult([7], None)  # type: ignore[list-item]


@pytest.mark.slow
def test_a_chunk_that_kills_workers_repeatedly_fails_after_earlier_results(
    engine: DaskExecutor, cluster: "LocalCluster", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)  # the first death is one too many: not so long a test

    def kills(number: int) -> int:
        if number == 2:
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    results = engine.map(kills, range(4), running)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ChunkTimeout, match="died"):
        next(results)


def test_a_late_worker_with_another_library_refuses_work() -> None:
    with pytest.raises(WorkerMismatch, match=r"numpy is .* there and 1\.0 here"):
        task_batch.run_batch(TaskBatch(b"", 1, {**task_batch.fingerprint(), "numpy": "1.0"}), [])


@pytest.mark.slow
def test_workers_are_compared_by_every_image_library() -> None:
    owners = packages_distributions()
    imported = {name.partition(".")[0] for module in modules_that_read() for name in imports_of(module)}
    used = {canonicalize_name(owner) for name in imported for owner in owners.get(name, ())} - {"digitrec"}
    # Training alone imports the first ones (tests/test_imports.py), and the last ones run in a child process.
    used -= {"keras", "tensorflow", "tensorflow-cpu", "rapidocr", "onnxruntime"}

    assert {"simplejpeg", "pillow-heif", "pypdfium2"} <= used, "also those that are imported when they are needed"
    assert used == set(task_batch.LIBRARIES)


def modules_that_read() -> set[Path]:
    """Return all modules of images and recognition, and the modules of digitrec that they import."""
    root = Path(digitrec.__file__).parent
    modules = set[Path]()
    waiting = [*root.glob("images/*.py"), *root.glob("recognition/*.py")]
    while waiting:
        module = waiting.pop()
        if module not in modules and module.exists():
            modules.add(module)
            names = (name for name in imports_of(module) if name.startswith("digitrec."))
            waiting += [root.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names]
    return modules


def imports_of(module: Path) -> set[str]:
    """The names that a module imports, at its top or inside a function."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    parts = [
        (node.module or "", name.name) for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names
    ]
    return imported | {name for name, _ in parts} | {f"{name}.{part}" for name, part in parts}


def test_a_worker_without_the_inbox_refuses_work(tmp_path: Path) -> None:
    (tmp_path / ".digitrec-folder").write_text("0a1b\n")
    ours = task_batch.fingerprint(str(tmp_path))
    (tmp_path / ".digitrec-folder").write_text("2c3d\n")

    with pytest.raises(WorkerMismatch, match=f"{tmp_path} is folder 2c3d there and folder 0a1b here"):
        task_batch.run_batch(TaskBatch(b"", 1, ours, str(tmp_path)), [])


def test_a_worker_with_another_model_refuses_work() -> None:
    sent = task_batch.serialize(reader())
    altered = sent._replace(content=sent.content[:-100] + bytes(100))
    content = task_batch.pack(abs, [1], lambda _: sent.digest)

    with pytest.raises(WorkerMismatch, match="arrived"):
        task_batch.run_batch(TaskBatch(content, 1, task_batch.fingerprint()), [altered])


def test_a_worker_without_digitrec_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "digitrec.pipeline.task_batch", None)
    fingerprint = task_batch.fingerprint_query()()

    with pytest.raises(WorkerMismatch, match="not usable"):
        task_batch.check_same("tcp://10.0.0.7:40001", fingerprint, task_batch.fingerprint())


def test_an_unreachable_scheduler_fails_before_anything_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "PARAMS", DaskParams(connect_s=0.5))
    fill(tmp_path / "inbox")
    settings = Settings(workspace=tmp_path, engine="dask", scheduler=NOBODY, settle_s=0, run_retry_s=0)

    with pytest.raises(EnvironmentFailure, match="cannot be reached") as failure:
        run_once(settings)

    assert "dask scheduler" in failure.value.hint
    assert len(list(settings.inbox.glob("*.png"))) == 27


@pytest.mark.slow
def test_a_tls_cluster_takes_only_clients_with_its_certificate(tmp_path: Path) -> None:
    import dask
    from distributed import LocalCluster, Security

    def settings_of(security: Security, name: str) -> dict[str, str]:
        pems = security.get_tls_config_for_role("client")
        for part in ("ca_file", "cert", "key"):
            (tmp_path / f"{name}.{part}").write_text(pems[part])
        prefix = "distributed.comm.tls"
        return {
            f"{prefix}.ca-file": str(tmp_path / f"{name}.ca_file"),
            f"{prefix}.client.cert": str(tmp_path / f"{name}.cert"),
            f"{prefix}.client.key": str(tmp_path / f"{name}.key"),
        }

    security, params = Security.temporary(), DaskParams(connect_s=2)
    own, other = settings_of(security, "own"), settings_of(Security.temporary(), "other")
    where = LOOPBACK | {"protocol": "tls", "security": security}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **where) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with dask.config.set(own):
            engine = DaskExecutor(address, 5, params=params)
            assert list(engine.map(abs, [-1, -2], running)) == [1, 2]
            engine.close()
        with dask.config.set(other), pytest.raises(EnvironmentFailure, match=r"TLS|SSL"):
            DaskExecutor(address, 5, params=params)
        with pytest.raises(EnvironmentFailure, match="cannot be reached") as refused:
            DaskExecutor(address.replace("tls://", "tcp://"), 5, params=params)
        assert "tls://" in refused.value.hint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "needs a CA file and a certificate"),
        ({"ca-file": "/nowhere/ca.pem"}, "needs a CA file and a certificate"),
        ({"ca-file": "/nowhere/ca.pem", "client.cert": "/nowhere/node.pem"}, r"/nowhere/ca\.pem, /nowhere/node\.pem"),
    ],
)
def test_a_tls_scheduler_without_certificates_is_refused_at_once(files: dict[str, str], message: str) -> None:
    import dask

    with (
        dask.config.set({f"distributed.comm.tls.{name}": path for name, path in files.items()}),
        pytest.raises(SettingsError, match=message) as refused,
    ):
        DaskExecutor("tls://127.0.0.1:9", 1)

    assert refused.value.exit_code == 78
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in refused.value.hint


def test_a_cluster_without_workers_is_an_environment_failure() -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, processes=False, **LOOPBACK) as cluster,
        pytest.raises(EnvironmentFailure, match="no workers"),
    ):
        DaskExecutor(cluster.scheduler_address, 1)


@pytest.mark.slow
def test_losing_all_workers_or_the_scheduler_is_an_environment_failure() -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **LOOPBACK) as cluster:
        engine = DaskExecutor(cluster.scheduler_address, 5, params=DaskParams(no_workers_s=0.2, check_every_s=0.1))
        cluster.scale(0)
        with pytest.raises(EnvironmentFailure, match="lost all its workers"):
            list(engine.map(abs, [-1], running))
        results = engine.map(abs, [-1], running)
    with pytest.raises(EnvironmentFailure, match="gone"):
        list(results)
    engine.close()


KILLED = """
import json, os, signal, subprocess, sys, time
from digitrec import logs
from digitrec.pipeline.dask_executor import DaskExecutor, DaskParams
from digitrec.errors import EnvironmentFailure

logs.configure("json")
scheduler = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
engine = DaskExecutor(scheduler.stdout.readline().decode().strip(), 5)
results = engine.map(abs, [-1], lambda: False)
scheduler.kill()
scheduler.wait()
try:
    for _ in range(20):
        list(results)
        results = engine.map(abs, [-1], lambda: False)
except EnvironmentFailure as why:
    print(why)
engine.close()
time.sleep(1)
"""
SCHEDULER = f"""
import sys
from distributed import LocalCluster
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **{LOOPBACK}) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_killed_scheduler_is_logged_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, SCHEDULER], capture_output=True, text=True, check=True, timeout=60
    )

    assert "is gone" in done.stdout
    joined, *warned = [json.loads(line) for line in done.stderr.splitlines()]
    assert joined["event"] == "cluster joined"
    assert len(warned) == 1
    assert warned[0].items() >= {"level": "warning", "library": "distributed.client"}.items()


def test_a_dask_executor_without_a_scheduler_is_refused() -> None:
    with pytest.raises(SettingsError, match="no scheduler"):
        Settings(engine="dask")


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from digitrec import errors
    from digitrec.errors import MissingPackage

    monkeypatch.setattr(errors, "find_spec", lambda _: None)

    with pytest.raises(MissingPackage, match="distributed") as refused:
        composition.EXECUTORS["dask"](Settings(workspace=tmp_path, engine="dask", scheduler=NOBODY))
    assert "pip install" in refused.value.hint
