"""Count the files and functions of digitrec/ that `digitrec run --engine serial` enters for one PNG.

`python -m tools.entered [--list] [--picture FILE]`. The run takes place in this process, in a fresh workspace, after a
first run in another one: imports, and whatever is made once per process, are excluded. Named functions and methods
and templates count, once each; module bodies, lambdas and comprehensions do not.
"""

import argparse
import contextlib
import os
import runpy
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from unittest.mock import patch

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
PREFIX = f"{ROOT / 'digitrec'}{os.sep}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both numbers, and with --list each function in the order of its first call."""
    parser = argparse.ArgumentParser(prog="python -m tools.entered", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print each function, in the order of its first call")
    parser.add_argument("--picture", type=Path, help="read this picture; default: a printed 7")
    options = parser.parse_args(arguments)
    png = options.picture.read_bytes() if options.picture else printed_seven()
    run(png)
    functions = entered(png)
    print(f"{len({code.co_filename for code in functions})} files, {len(functions)} functions")
    if options.list:
        for code in functions:
            print(f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_firstlineno} {code.co_qualname}")


def entered(png: bytes) -> list[CodeType]:
    """Return the functions of digitrec/ that one run enters in any thread, in the order of their first call."""
    functions: dict[CodeType, None] = {}

    def record(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name[0] != "<" and code.co_filename.startswith(PREFIX):
            functions.setdefault(code)

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        run(png)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(functions)


def run(png: bytes) -> None:
    """Read one picture in a fresh workspace as the command does; raise SystemExit if it fails."""
    with tempfile.TemporaryDirectory(prefix="digitrec-entered-") as folder:
        inbox = Path(folder, "inbox")
        inbox.mkdir()
        (inbox / "7.png").write_bytes(png)
        os.utime(inbox / "7.png", (0, 0))  # old enough to be complete at the first scan
        argv, sys.argv = sys.argv, ["digitrec", "run", "--engine", "serial"]
        try:
            with (
                contextlib.chdir(folder),
                contextlib.redirect_stdout(sys.stderr),
                patch("digitrec.app.service.exit_now", sys.exit),  # it would end this process
            ):
                runpy.run_module("digitrec", run_name="__main__")
        except SystemExit as exit_:
            if exit_.code:
                raise
        finally:
            sys.argv = argv


def printed_seven() -> bytes:
    """Return a PNG of 28 x 28 pixels that shows a 7."""
    paper = np.full((28, 28), 255, np.uint8)
    cv2.putText(paper, "7", (6, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)
    return cv2.imencode(".png", paper)[1].tobytes()


if __name__ == "__main__":
    main()
