"""Folders in folders, deeper than one path reaches, and their removal (pytest's own ends in a RecursionError)."""

import os
import subprocess
from pathlib import Path


def deepen(folder: Path, levels: int, every: int, content: bytes = b"x") -> None:
    """Make `levels` folders named d, one in the other, with a file 7.png in each `every` of them."""
    at = os.open(folder, os.O_RDONLY)
    for level in range(1, levels + 1):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
        if level % every == 0:
            file = os.open("7.png", os.O_WRONLY | os.O_CREAT, dir_fd=at)
            os.write(file, content + b"%d" % level)
            os.close(file)
    os.close(at)


def remove(folder: Path) -> None:
    """Remove everything in a folder."""
    subprocess.run(["rm", "-rf", *map(str, folder.iterdir())], check=True)
