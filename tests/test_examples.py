"""What the documentation shows works, word for word: commands, transcripts, settings, Python."""

import re
import shutil
from pathlib import Path

import pytest

from digitrec.monitoring.hooks import Hooks
from digitrec.settings import Settings
from tests.examples import ROOT, alike, blocks, commands, pages, require_parses, setup_of, typed

MEASURED = ("docs/accuracy.md", "docs/performance.md", "docs/soak.md", "docs/fonts.md", "docs/cluster.md")
"""Their commands measure for minutes, or need other machines: these are checked, and not run."""
NOT_RUN = {
    "README.md": 2,
    "docs/container.md": 3,
    "docs/howto/cron.md": 1,
    "docs/howto/data.md": 2,
    "docs/howto/model.md": 1,
    "docs/howto/share.md": 1,
    "docs/howto/systemd.md": 2,
    "docs/learning.md": 1,
    "docs/slim.md": 1,
    "docs/tutorial.md": 2,
    "jobs/README.md": 1,
}
"""So many blocks of each page cannot be run in a test; each says why. No more are to come."""
KINDS = {"", "console", "ini", "json", "mermaid", "python", "sh", "text", "toml"}
RUN = [page for page in pages() if page not in MEASURED and any(one.kind in {"sh", "console"} for one in blocks(page))]


def test_only_listed_blocks_are_not_run() -> None:
    found = {page: sum(bool(one.not_run) for one in blocks(page)) for page in pages() if page not in MEASURED}

    assert {page: count for page, count in found.items() if count} == NOT_RUN
    assert {one.kind for page in pages() for one in blocks(page)} <= KINDS


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_every_command_that_is_shown_is_one_that_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in (line for one in blocks(page) if one.kind in {"sh", "console"} for line in one.lines):
        for words in commands(line):
            require_parses(words)
        for target in re.findall(r"^make ([a-z]+)", line):
            assert target in targets, line
        for module in re.findall(r"python -m ((?:benchmarks|tools)[.\w]*)", line):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), line


@pytest.mark.parametrize("page", [page for page in pages() if any(one.kind == "toml" for one in blocks(page))])
def test_settings_that_are_shown_can_be_used(page: str, tmp_path: Path) -> None:
    for one in blocks(page):
        if one.kind == "toml":
            (tmp_path / "digitrec.toml").write_text(one.body, encoding="utf-8")
            Hooks(Settings.load(tmp_path))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some labelled scans of one's own."""
    folder = tmp_path_factory.mktemp("own") / "scans"
    code, printed = typed(f"digitrec samples {folder} --count 20 --seed 5", folder.parent)
    assert code == 0, printed
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(page: str, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITREC_SETTLE_S", "0")
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(scans, tmp_path / "scans")
    shutil.copy(ROOT / "tests" / "golden" / "turned_photo" / "picture.jpg", tmp_path / "photo.jpg")
    for line in setup_of(page):
        assert typed(line, tmp_path)[0] == 0, line

    for one in (one for one in blocks(page) if not one.not_run):
        if one.kind == "console":
            for line, shown in one.transcript:
                code, printed = typed(line, tmp_path)
                assert code == 0, f"{line}\n{printed}"
                assert not shown or alike(shown, printed), f"{line}\n{printed}"
        elif one.kind == "sh":
            for line in one.lines:
                code, printed = typed(line, tmp_path)
                assert code == 0, f"{line}\n{printed}"
        elif one.kind == "python":
            exec(compile(one.body, page, "exec"), {})
