"""The commands, transcripts, settings and Python code of the documentation work as shown."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from digitrec.monitoring.hooks import Hooks
from digitrec.settings import Settings
from tests.examples import ROOT, blocks, commands, matches_output, pages, require_parses, run_line, setup_of

MEASURED = tuple(f"docs/dev/{name}.md" for name in ("accuracy", "performance", "soak", "fonts", "scale", "model-files"))
"""Pages whose commands take minutes or need other machines: checked, not run."""
NOT_RUN = {
    "README.md": 1,
    "docs/index.md": 1,
    "docs/machines.md": 6,
    "docs/python.md": 1,
    "docs/review.md": 2,
    "docs/running.md": 7,
    "docs/training.md": 3,
    "docs/troubleshooting.md": 1,
    "docs/tutorial.md": 3,
}
"""Number of blocks of each page that cannot run in a test; each states why."""
KINDS = {"", "console", "ini", "json", "mermaid", "python", "sh", "text", "toml"}
RUN = [
    page
    for page in pages()
    if page not in MEASURED and any(block.kind in {"sh", "console", "python"} for block in blocks(page))
]


def test_only_listed_blocks_are_not_run() -> None:
    counts = {page: sum(bool(block.not_run) for block in blocks(page)) for page in pages() if page not in MEASURED}

    assert {page: count for page, count in counts.items() if count} == NOT_RUN
    assert {block.kind for page in pages() for block in blocks(page)} <= KINDS


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_every_command_in_the_docs_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in (line for block in blocks(page) if block.kind in {"sh", "console"} for line in block.lines):
        for words in commands(line):
            require_parses(words)
        for target in re.findall(r"^make ([a-z-]+)", line):
            assert target in targets, line
        for module in re.findall(r"python -m ((?:benchmarks|tools)[.\w]*)", line):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), line


@pytest.mark.parametrize("page", [page for page in pages() if any(block.kind == "toml" for block in blocks(page))])
def test_settings_in_the_docs_are_valid(page: str, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.kind == "toml":
            (tmp_path / "digitrec.toml").write_text(block.body, encoding="utf-8")
            Hooks(Settings.load(tmp_path))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of labelled scans."""
    folder = tmp_path_factory.mktemp("own") / "scans"
    code, printed = run_line(f"digitrec samples {folder} --count 20 --seed 5", folder.parent)
    assert code == 0, printed
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:In the future `np.object` will be:FutureWarning")  # Keras' export to ONNX
@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(page: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITREC_SETTLE_S", "0")
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(scans, tmp_path / "scans")
    shutil.copy(ROOT / "tests" / "golden" / "turned_photo" / "picture.jpg", tmp_path / "photo.jpg")
    for line in setup_of(page):
        assert run_line(line, tmp_path)[0] == 0, line

    names: dict[str, object] = {}  # of the Python blocks of a page, which continue one another
    for block in (block for block in blocks(page) if not block.not_run and all(map(find_spec, block.needs))):
        if block.kind == "console":
            for line, output in block.transcript:
                code, printed = run_line(line, tmp_path)
                assert code == 0, f"{line}\n{printed}"
                assert not output or matches_output(output, printed), f"{line}\n{printed}"
        elif block.kind == "sh":
            for line in block.lines:
                code, printed = run_line(line, tmp_path)
                assert code == 0, f"{line}\n{printed}"
        elif block.kind == "python":
            exec(compile(block.body, page, "exec"), names)
