"""Heavy libraries are imported only when used."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "tensorflow",
    "keras",
    "pandas",
    "matplotlib",
    "seaborn",
    "sklearn",
    "scipy",
    "rich",
    "starlette",
    "pydantic",
    "prometheus_client",
)
READING = ("numpy", "cv2", "PIL", "ai_edge_litert", "jinja2", "multiprocessing", "watchdog")
"""Libraries for reading pictures; an empty inbox needs none."""
PROGRAM = """
import sys
sys.argv = ["digitrec", *{words!r}]
from digitrec.cli import main as cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *(name for name in {asked!r} if name in sys.modules))
"""


def imported_modules(workspace: Path, *words: str, asked: tuple[str, ...] = HEAVY) -> set[str]:
    program = PROGRAM.format(words=[*words], asked=asked)
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, cwd=workspace
    )
    (line,) = (line for line in process.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


@pytest.mark.slow
def test_run_imports_no_heavy_library_even_with_pictures_to_read(tmp_path: Path) -> None:
    from tests.conftest import draw

    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    (tmp_path / "bad.png").write_bytes(b"no picture")

    assert imported_modules(tmp_path, "run", "--settle-s", "0") == set()
    assert list((tmp_path / "outbox").glob("*Z-????????.csv"))


def test_run_on_an_empty_inbox_does_not_import_the_decoder(tmp_path: Path) -> None:
    assert imported_modules(tmp_path, "run", asked=(*HEAVY, *READING)) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("predict", "7.png", "--json"), ("verify",), ("config",), ("report",)], ids=lambda words: words[0]
)
def test_common_commands_import_no_heavy_library(tmp_path: Path, words: tuple[str, ...]) -> None:
    from tests.conftest import draw

    (tmp_path / "7.png").write_bytes(draw(7))

    assert imported_modules(tmp_path, *words) == set()


@pytest.mark.slow
def test_help_imports_neither_a_heavy_library_nor_the_decoder(tmp_path: Path) -> None:
    program = "import sys; from digitrec import cli; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert not {*HEAVY, "cv2", "PIL"} & set(process.stdout.split())
