"""Compare digitrec with RapidOCR and with the usual MNIST script: `python -m benchmarks.peers DIR [--data mnist]`.

DIR has pictures of one digit and a labels.csv. Each reader gets the same files, one after the other, in one thread; its
start is not counted. RapidOCR and the script have no target error rate: every answer counts as accepted.
`--markdown FILE` writes the table between the marks `<!-- peers -->` of a page.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import tables

Read = Callable[[Path], tuple[str, bool]]
"""Return the text of a picture, and whether it is accepted."""


def main() -> None:
    """Measure each reader and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="mnist", help="training data of the script (what digitrec --data takes)")
    parser.add_argument(
        "--only", nargs="+", default=["digitrec", "RapidOCR", "Keras script"], help="readers to measure"
    )
    parser.add_argument("--markdown", type=Path, help="write the table into this page, too")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with (options.folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        labels = [(options.folder / row["file"], row["label"]) for row in csv.DictReader(stream)]
    rows = [
        f"| {len(labels)} pictures | right | wrong among accepted | accepted | CPU per picture |",
        "|---|--:|--:|--:|--:|",
    ]
    loaders: dict[str, Callable[[], Read]] = {
        "digitrec": load_digitrec,
        "RapidOCR": load_rapidocr,
        "Keras script": lambda: train_script(options.data),
    }
    for name, load in loaders.items():
        if name in options.only:
            rows.append(f"| {name} | {measure(load(), labels)} |")
            print(rows[-1], flush=True)
    table = "\n".join(rows)
    print(table)
    if options.markdown:
        text = options.markdown.read_text(encoding="utf-8")
        options.markdown.write_text(tables.inserted(text, f"{table}\n", "peers"), encoding="utf-8")


def measure(read: Read, labels: list[tuple[Path, str]]) -> str:
    """Return the cells of one row: right, wrong among accepted, accepted, CPU time."""
    read(labels[0][0])
    right = accepted = wrong = 0
    start_s = time.process_time()
    for path, label in labels:
        text, is_accepted = read(path)
        right += text == label
        accepted += is_accepted
        wrong += is_accepted and text != label
    cpu_s = time.process_time() - start_s
    count = len(labels)
    share = f"{100 * wrong / accepted:.1f} % ({wrong})" if accepted else "-"
    return f"{100 * right / count:.1f} % | {share} | {100 * accepted / count:.1f} % | {1000 * cpu_s / count:.1f} ms"


def load_digitrec() -> Read:
    """Return a reader of digitrec with its default settings."""
    import digitrec

    reader = digitrec.Reader("shipped")

    def read(path: Path) -> tuple[str, bool]:
        page = reader.read(path)[0]
        return page.text, page.status == "accepted"

    return read


def load_rapidocr() -> Read:
    """Return RapidOCR with its own detection; where that finds nothing, the whole picture is recognized."""
    import cv2
    import rapidocr

    cv2.setNumThreads(1)
    threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "EngineConfig.onnxruntime.inter_op_num_threads": 1}
    models = {
        f"{stage}.model_path": str(path)
        for stage in ("Det", "Rec", "Cls")
        for path in Path(rapidocr.__file__).with_name("models").glob(f"*_{stage.lower()}_*.onnx")
    }
    engine: Any = rapidocr.RapidOCR(params={"Global.log_level": "critical", **models, **threads})

    def read(path: Path) -> tuple[str, bool]:
        picture = cv2.imread(str(path))
        if picture is None:
            return "", False
        result = engine(picture)
        if not result.txts:
            result = engine(picture, use_det=False, use_cls=False)
        text = "".join(result.txts or ()).strip()
        return text, bool(text)

    return read


def train_script(data: str) -> Read:
    """Train the network of most MNIST tutorials; return the program that reads one file with it."""
    import cv2
    import keras

    import digitrec

    keras.utils.set_random_seed(0)
    train = digitrec.load_dataset(data).train
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(train.pictures / 255.0, train.digits, epochs=5, verbose=0)

    def read(path: Path) -> tuple[str, bool]:
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            return "", False
        ink = cv2.resize(255 - gray, (28, 28), interpolation=cv2.INTER_AREA) / 255.0
        return str(int(model.predict(ink[None], verbose=0).argmax())), True

    return read


if __name__ == "__main__":
    main()
