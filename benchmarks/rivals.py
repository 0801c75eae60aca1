"""What `digitrec run` is measured against: `python -m benchmarks.rivals WHAT FOLDER`. Each prints what it took as JSON.

decode    `cv2.imread` of every file: the floor
moves     the same, and two renames a file, as a claim and a filing away are: the floor of small files
tutorial  the program of many tutorials: read, invert, resize, and Keras' `predict`, one file after the other
batches   the same with all files of a batch in one `predict`
parts     reads the files as the product does; what counts is decoding them, and each network's calls in a row
network   trains nothing: writes the tutorial's network to FOLDER/tutorial.keras

FOLDER holds the pictures; `moves` takes a workspace whose inbox does.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_BATCH = 512


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=[*RIVALS, "network"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", type=Path, help="the tutorial's network")
    parser.add_argument("--files", type=int, default=1_000_000, help="read the first so many files only")
    given = parser.parse_args(arguments)
    if given.what == "network":
        write_network(given.folder / "tutorial.keras")
        return
    print(json.dumps(RIVALS[given.what](given.folder, given.network, given.files)))


def write_network(path: Path) -> None:
    """The classic exercise with random weights: they do not change what it costs."""
    from digitrec.recognition.classifier_keras import start_keras
    from digitrec.training import networks

    start_keras()
    networks.build_mlp().save(path)


def _decode(folder: Path, _: Path, most: int) -> Mapping[str, float]:
    import cv2

    cv2.setNumThreads(1)
    names = _names(folder, most)
    watch = _Watch()
    for name in names:
        cv2.imread(name)
    return watch.read(len(names))


def _moves(workspace: Path, _: Path, most: int) -> Mapping[str, float]:
    import cv2

    cv2.setNumThreads(1)
    inbox, claimed, done = (str(workspace / name) for name in ("inbox", "claimed", "done"))
    Path(claimed).mkdir()
    Path(done).mkdir()
    names = [Path(name).name for name in _names(workspace / "inbox", most)]
    watch = _Watch()
    for name in names:
        os.rename(f"{inbox}/{name}", f"{claimed}/{name}")  # noqa: PTH104 - the floor carries no more than it must
    for name in names:
        cv2.imread(f"{claimed}/{name}")
    for name in names:
        os.rename(f"{claimed}/{name}", f"{done}/{name}")  # noqa: PTH104
    return watch.read(len(names))


def _tutorial(folder: Path, network: Path, most: int) -> Mapping[str, float]:
    import keras

    model = keras.saving.load_model(network)
    names = _names(folder, most)
    model.predict(_seen(names[0])[None], verbose=0)  # the first one builds the graph: that belongs to the start
    watch = _Watch()
    for name in names:
        int(model.predict(_seen(name)[None], verbose=0).argmax())
    return watch.read(len(names))


def _batches(folder: Path, network: Path, most: int) -> Mapping[str, float]:
    import keras
    import numpy as np

    model = keras.saving.load_model(network)
    names = _names(folder, most)
    model.predict(_seen(names[0])[None], verbose=0)
    watch = _Watch()
    for start in range(0, len(names), _BATCH):
        pictures = np.stack([_seen(name) for name in names[start : start + _BATCH]])  # (n, 28, 28)
        model.predict(pictures, verbose=0).argmax(axis=1)
    return watch.read(len(names))


def _parts(folder: Path, _: Path, most: int) -> Mapping[str, float]:
    from digitrec import Reader
    from digitrec.images import decode
    from digitrec.recognition.runtime import InterpreterPool
    from digitrec.types import Limits

    names = _names(folder, most)
    calls: dict[InterpreterPool, list[Any]] = {}
    run = InterpreterPool.__call__

    def note(pool: InterpreterPool, entry: Any) -> Any:
        calls.setdefault(pool, []).append(entry)
        return run(pool, entry)

    InterpreterPool.__call__ = note  # type: ignore[method-assign, assignment]
    list(Reader("shipped").read_many(names))
    InterpreterPool.__call__ = run  # type: ignore[method-assign]
    contents = [Path(name).read_bytes() for name in names]
    watch = _Watch()
    for content in contents:
        list(decode.decode_pages(content, Limits())[1])
    for pool, entries in calls.items():
        for entry in sorted(entries, key=lambda entry: entry.shape):
            pool(entry)
    return watch.read(len(contents))


def _seen(name: str) -> Any:
    """(28, 28) float32, 0.0 = paper, 1.0 = ink."""
    import cv2

    grey = cv2.imread(name, cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise SystemExit(f"{name} cannot be read")
    return cv2.resize(255 - grey, (28, 28), interpolation=cv2.INTER_AREA).astype("float32") / 255


class _Watch:
    """CPU and wall clock since now, start-up left out."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def read(self, files: int) -> Mapping[str, float]:
        """What the work took."""
        cpu_s, wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s
        return {"files": files, "cpu_s": cpu_s, "wall_s": wall_s}


def _names(folder: Path, most: int) -> list[str]:
    return sorted(entry.path for entry in os.scandir(folder))[:most]


RIVALS: Mapping[str, Callable[[Path, Path, int], Mapping[str, float]]] = {
    "decode": _decode,
    "moves": _moves,
    "tutorial": _tutorial,
    "batches": _batches,
    "parts": _parts,
}


if __name__ == "__main__":
    main()
