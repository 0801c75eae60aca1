"""Executors for tests: readers that crash at some files, or are stopped halfway."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digitrec.pipeline import worker_main
from digitrec.pipeline.batch_reader import ChunkError, GuardedReader
from digitrec.pipeline.chunk_queue import LostChunk
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.worker_process import WorkerCrashed
from tests.conftest import ServiceHarness


def name_of(job: ReadJob) -> str:
    return Path(str(job.path)).name


@dataclass
class Poisoned:
    """An engine that loses every chunk with a poisoned file, and a child that dies of such a file."""

    names: set[str]
    deaths: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    """Every file that the child was given."""

    def map(self, function: Callable[[Any], Any], chunks: Sequence[Any], stopped: Callable[[], bool]) -> Iterator[Any]:
        for jobs in chunks:
            if stopped():
                return
            position = next((index for index, job in enumerate(jobs) if name_of(job) in self.names), None)
            if position is not None:
                self.deaths.append(name_of(jobs[position]))
            yield function(jobs) if position is None else LostChunk("not done after 60 s", position)

    def call(self, function: Callable[[Any], Any], jobs: Sequence[ReadJob], stopped: Callable[[], bool]) -> Any:
        self.alone.append(name_of(jobs[0]))
        if name_of(jobs[0]) in self.names:
            self.deaths.append(name_of(jobs[0]))
            raise WorkerCrashed("the child process died", 0)
        return function(jobs)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


class StoppedAfter(Poisoned):
    """Lets the service be stopped when it has read so many files."""

    def __init__(self, harness: ServiceHarness, files: int) -> None:
        super().__init__(set())
        self.harness = harness
        self.left = files

    def map(self, function: Callable[[Any], Any], chunks: Sequence[Any], stopped: Callable[[], bool]) -> Iterator[Any]:
        for jobs in chunks:
            read = []
            for job in jobs:
                self.harness.stopped = self.left <= 0
                if stopped():
                    break
                self.left -= 1
                read += function([job])
            yield read


class OddReader(GuardedReader):
    """Reads a chunk, in any process; a file named `hangs` never ends, one named `fills` all memory."""

    def __call__(self, jobs: Sequence[ReadJob]) -> list[FileResult] | ChunkError:
        contents: list[FileResult] = []
        for file, job in enumerate(jobs):
            if worker_main.is_cancelled():
                break
            worker_main.begin_page(file)
            if name_of(job) == "hangs.png":
                time.sleep(600)
            fstat = fill_memory if name_of(job) == "fills.png" else None
            results = GuardedReader(self.limits, self.reader, fstat)([job])
            if isinstance(results, ChunkError):
                return results
            contents += results
        return contents


def fill_memory(_: int) -> os.stat_result:
    raise MemoryError(len(bytearray(1 << 50)))
