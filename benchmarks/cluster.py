"""What a Dask cluster and a store cost, and what they bring: `run` with threads and with worker processes, in turn.

`python -m benchmarks.cluster` prints tables for docs/dev/scale.md. Scheduler, workers and S3 server run on this host:
that shows the overhead, not what more machines bring. The tables of every run are compared, byte for byte but for times
and the id of the batch.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import process
from benchmarks.kinds import DIGITS
from benchmarks.measuring import in_turn, say
from benchmarks.process import CommandFailed, Cost, python
from benchmarks.sets import PictureSet, Store

_TABLE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}(\.digits)?\.csv")
_BATCH = re.compile(rb"\d{8}T\d{6}Z-[0-9a-f]{8}")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_START_S = 60.0
THREADS, DASK_1, DASK_2 = "threads", "dask, 1 worker", "dask, 2 workers"


@dataclass
class Measured:
    """Runs over the same files."""

    files: int
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Of the coordinator, and of scheduler and workers."""
    tables: dict[str, list[bytes]] = field(default_factory=dict)

    def note(self, who: str, cost: Cost, elsewhere_s: float, tables: list[bytes]) -> None:
        """Keep a run, if it answered as every other one did.

        Args:
            who: what it is called.
            cost: of the coordinator.
            elsewhere_s: CPU that scheduler and workers took.
            tables: what was published.

        Raises:
            CommandFailed: its tables differ.
        """
        if next(iter(self.tables.values()), tables) != tables:
            raise CommandFailed(f"the tables of {who} differ from those of {next(iter(self.tables))}")
        self.tables[who] = tables
        self.wall_s.setdefault(who, []).append(cost.wall_s)
        self.cpu_s.setdefault(who, []).append((cost.cpu_s, elsewhere_s))
        cpu = f"{cost.cpu_s:.1f} + {_format_s(elsewhere_s)} CPU s"
        say(f"  {who}: {self.files / cost.wall_s:.0f} files/s, {cost.wall_s:.1f} s, {cpu}")

    def lines(self) -> Iterator[str]:
        """A table in Markdown; times against the first, round by round."""
        first = next(iter(self.wall_s))
        yield f"| {self.files:,} files | files/s | time against {first} | CPU s of the coordinator | of the cluster |"
        yield "|---|--:|--:|--:|--:|"
        for who, walls in self.wall_s.items():
            against = statistics.median(mine / its for mine, its in zip(walls, self.wall_s[first], strict=False))
            local_s, cluster_s = (statistics.median(column) for column in zip(*self.cpu_s[who], strict=True))
            speed = f"{self.files / statistics.median(walls):,.0f}"
            yield f"| {who} | {speed} | {against:.2f} | {local_s:.1f} | {_format_s(cluster_s)} |"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="28 x 28 PNG, on a local disk")
    parser.add_argument("--objects", type=int, default=1_000, help="of these, from an S3 server")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    parser.add_argument("--data", default="mnist", help="the digits (what digitrec --data takes)")
    parser.add_argument("--work", type=Path, help="keep drawn pictures here. Default: a temporary folder")
    given = parser.parse_args()
    say(f"load {os.getloadavg()[0]:.1f} on {process.cores()} cores")
    with tempfile.TemporaryDirectory(prefix="digitrec-bench-") as temporary:
        store = Store((given.work or Path(temporary)).resolve(), given.data)
        pictures = store.get(DIGITS, given.files)
        local = Measured(pictures.count)
        with cluster(1) as cluster_1, cluster(2) as cluster_2:
            engines = {THREADS: [], DASK_1: _dask(cluster_1), DASK_2: _dask(cluster_2)}
            in_turn([*engines], given.rounds, lambda who: _local(store, pictures, local, who, engines[who]))
            after_s = min(local.wall_s[DASK_2]) / 2
            with _killing(cluster_2, after_s):
                _local(store, pictures, local, f"{DASK_2}, one killed after {after_s:.0f} s", engines[DASK_2])
        far = Measured(min(given.objects, pictures.count))
        with s3(pictures.first(far.files)) as bucket, cluster(2) as cluster_2:
            engines = {THREADS: [], DASK_2: _dask(cluster_2)}
            in_turn([*engines], given.rounds, lambda who: _far(store, bucket, far, who, engines[who]))
    print("\n".join([*local.lines(), "", "From and to S3:", "", *far.lines()]))


def _dask(scheduler: str) -> list[str]:
    return ["--engine", "dask", "--scheduler", scheduler]


def _local(store: Store, pictures: PictureSet, result: Measured, who: str, engine: Sequence[str]) -> None:
    with store.workspace(pictures.files) as workspace:
        before_s = _cpu_s(engine)
        cost, _ = process.run(_command(workspace, pictures.count, engine))
        result.note(who, cost, _cpu_s(engine) - before_s, _read_tables(workspace / "outbox"))


def _far(store: Store, bucket: str, result: Measured, who: str, engine: Sequence[str]) -> None:
    import fsspec

    with store.workspace() as workspace:
        out = f"{bucket}/out-{time.monotonic_ns()}"
        folders = ["--source", f"{bucket}/in", "--outbox", out]
        before_s = _cpu_s(engine)
        cost, _ = process.run([*_command(workspace, result.files, engine), *folders])
        cluster_s = _cpu_s(engine) - before_s
        fsspec.filesystem("s3").get(out, str(workspace / "outbox"), recursive=True)
        result.note(who, cost, cluster_s, _read_tables(workspace / "outbox"))


def _format_s(cluster_s: float) -> str:
    return f"{cluster_s:.1f}" if cluster_s >= 0 else "not known, as one died"


def _cpu_s(engine: Sequence[str]) -> float:
    """What scheduler and workers have taken until now; a worker that died takes its account with it."""
    from distributed import Client

    if not engine:
        return 0.0
    with Client(engine[-1], set_as_default=False) as client:
        return float(sum(client.run(time.process_time).values()) + client.run_on_scheduler(time.process_time))


def _command(workspace: Path, files: int, engine: Sequence[str]) -> list[str]:
    place = ["--workspace", str(workspace), "--settle-s", "0", "--batch-files", str(files)]
    return python("-m", "digitrec", "run", *place, *(engine or ["--engine", "threads"]))


def _read_tables(outbox: Path) -> list[bytes]:
    paths = sorted(
        (path for path in outbox.rglob("*.csv") if _TABLE.fullmatch(path.name)), key=lambda path: len(path.name)
    )
    if len(paths) != 2:
        raise CommandFailed(f"{len(paths)} tables were published, not one batch of two")
    return [_BATCH.sub(b"BATCH", _TIME.sub(b"TIME", path.read_bytes())) for path in paths]


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A scheduler and so many worker processes of one thread, as `dask scheduler` and `dask worker` start them."""
    from distributed import Client

    address = f"tcp://127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory(prefix="digitrec-bench-dask-") as home:
        quiet = ["--no-dashboard"]
        words = ["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], *quiet]
        with _running(python("-m", "dask", *words)):
            size = ["--nworkers", str(workers), "--nthreads", "1", "--local-directory", home]
            with _running(python("-m", "dask", "worker", address, *size, *quiet)):
                with Client(address, timeout=_START_S, set_as_default=False) as client:
                    client.wait_for_workers(workers, timeout=_START_S)
                yield address


@contextmanager
def s3(pictures: PictureSet) -> Iterator[str]:
    """A bucket of an S3 server on this machine, which holds these pictures below `in/`."""
    import fsspec

    port = _free_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with _running(python("-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))):
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
        files = fsspec.filesystem("s3")
        files.mkdir("bench")
        files.put([str(path) for path in pictures.files], [f"bench/in/{path.name}" for path in pictures.files])
        yield "s3://bench"


@contextmanager
def _killing(scheduler: str, after_s: float) -> Iterator[None]:
    """Meanwhile one worker process is killed."""
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        victim = min(client.run(os.getpid).values())
    timer = threading.Timer(after_s, os.kill, (victim, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if Path(f"/proc/{victim}").exists():
        raise CommandFailed("the run was over before a worker was killed")
    say(f"  worker process {victim} was killed")


@contextmanager
def _running(words: Sequence[str]) -> Iterator[None]:
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=process.ROOT)
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until(works: Callable[[], None]) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            return works()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    main()
