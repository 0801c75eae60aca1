"""File of the answers on synthetic pages, so that a repeated evaluation goes on where the last one was stopped."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from digitrec.training.synthetic_evaluation import Answer, Evidence

T = TypeVar("T")
_CHUNK = 200
"""Pages between two lines of the file."""


def resume(
    checkpoint: Path, key: str, tasks: Sequence[T], read: Callable[[Sequence[T]], Iterable[list[Answer]]]
) -> Iterator[list[Answer]]:
    """Yield the answers of all pages: those of the checkpoint, then new ones, which are added to it.

    Args:
        checkpoint: file, which is replaced if it has another key.
        key: of everything that decides about the answers, except the code: delete the file after a change of it.
        tasks: one for each page.
        read: reads the pages of some tasks, in order.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()
    lines = checkpoint.read_text(encoding="utf-8").splitlines(keepends=True) if checkpoint.exists() else []
    lines = [line for line in lines if line.endswith("\n")]  # the last one may be cut off
    if not lines or json.loads(lines[0]) != digest:
        lines = [json.dumps(digest) + "\n"]
    stored = [page for line in lines[1:] for page in json.loads(line)]
    checkpoint.write_text("".join(lines), encoding="utf-8")
    for page in stored:
        yield [
            Answer(value, is_right, tuple(clusters), *(Evidence(*evidence) for evidence in rest))
            for value, is_right, clusters, *rest in page
        ]
    chunk = []
    with checkpoint.open("a", encoding="utf-8") as file:
        for page in read(tasks[len(stored) :]):
            chunk.append([_to_row(answer) for answer in page])
            if len(chunk) == _CHUNK or len(stored) + len(chunk) == len(tasks):
                file.write(json.dumps(chunk) + "\n")
                file.flush()
                stored += chunk
                chunk = []
            yield page


def _to_row(answer: Answer) -> tuple[object, ...]:
    """Return the fields of an answer for a checkpoint; evidence only where there is some."""
    row = (answer.confidence, answer.is_right, answer.clusters)
    return row if answer.evidence is None else (*row, answer.evidence)
