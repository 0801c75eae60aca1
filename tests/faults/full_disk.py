"""Run in a separate mount namespace: a workspace on a 6 MB filesystem that fills up."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.faults.scene import ACCOUNTS, Scene


def main(folder: Path) -> None:
    """Fill the disk: the run fails and keeps everything; after making room it finishes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], check=True)
    scene = Scene("full_disk", folder)
    scene.drop(30)
    assert scene.run() == 0
    for room_kb in (0, 8, 40, 150):
        scene.drop(60)
        fill(folder / "ballast", room_kb)
        code = scene.run("--run-retry-s", "0.2")
        assert code in (0, 74), code
        assert room_kb or code == 74, "nothing can be written, and it says so"
        assert not list(scene.outbox.glob("rejected/*/*")), "nothing is rejected for a full disk"
        scene.check_tables()
        (folder / "ballast").unlink()
    scene.settle("(6 MB)")
    sys.stdout.write(json.dumps(asdict(ACCOUNTS[-1])))


def fill(ballast: Path, room_kb: int) -> None:
    """Fill the filesystem, then free this many bytes."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            file.truncate(max(0, file.tell() - room_kb * 1024))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
