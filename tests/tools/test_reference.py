"""docs/reference/ matches the code, and tools/messages.md has every message."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from digitrec.errors import DigitrecError
from digitrec.exchange.export import COLUMNS as EXPORTED
from digitrec.monitoring import hooks as hooks_module
from digitrec.monitoring.hooks import FAILURES, Hooks
from digitrec.storage import csv_tables
from digitrec.types import Reason
from tests.conftest import ServiceHarness
from tools import messages, reference, reference_words, site

ROOT = Path(__file__).parents[2]
AGAIN = "`python -m tools.reference` rebuilds it"


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == reference.pages()[name], AGAIN


def test_no_page_of_the_reference_is_left_over() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(reference.PAGES)


def test_the_reference_explains_exactly_the_existing_names() -> None:
    codes = {error.exit_code for error in _errors(DigitrecError)} - {DigitrecError.exit_code}
    page = {"schema_version", "batch_id", "row", "file", "page"}
    shared = set(csv_tables.DIGIT_COLUMNS) & set(csv_tables.COLUMNS)

    assert set(reference_words.COLUMNS) == set(csv_tables.COLUMNS)
    assert set(reference_words.DIGIT_COLUMNS) | shared == set(csv_tables.DIGIT_COLUMNS)
    assert set(reference_words.NUMBER_COLUMNS) | page == set(csv_tables.NUMBER_COLUMNS)
    assert set(reference_words.EXPORT_COLUMNS) == set(EXPORTED) - set(csv_tables.COLUMNS)
    assert set(reference_words.FIXES) == set(Reason)
    assert codes <= set(reference_words.EXIT_CODES)


def _errors(kind: type[DigitrecError]) -> list[type[DigitrecError]]:
    return [kind, *(error for subclass in kind.__subclasses__() for error in _errors(subclass))]


def test_hooks_get_the_documented_fields(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    documented: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(
        hooks_module, "run_command", lambda hook, body, *_: documented.update({hook[0]: json.loads(body)})
    )
    harness.set(on_batch="on_batch", on_reject="on_reject", on_failure="on_failure")
    harness.drop("noise.png", b"no picture")
    harness.run()
    hooks = Hooks(harness.settings)

    with harness.at_work() as line:
        hooks.add_batch(line.ledger.batches()[0].id)
        hooks.call_for_closed(line.ledger, lambda: False)
    for _ in range(FAILURES):
        hooks.count_failure("the disk is full")

    assert set(documented) == set(reference_words.HOOKS)
    for name, (_, fields) in reference_words.HOOKS.items():
        assert set(documented[name]) == {*reference_words.COMMON_FIELDS, *fields}, name


@pytest.mark.slow
def test_every_message_has_a_cause_and_a_remedy() -> None:
    made, documented = {message.template: message.location for message in messages.messages()}, messages.entries()

    assert len(made) > 180
    assert not {words: place for words, place in made.items() if words not in documented}, "add it to tools/messages.md"
    assert not documented.keys() - made.keys(), "no code has this any more; remove it from tools/messages.md"
    for words, cells in documented.items():
        assert len(cells) == 2, words
        assert all(cells), words


def test_every_page_has_its_place_in_the_site() -> None:
    listed = set(re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    decisions = {name for name in pages if name.startswith("dev/decisions/")}

    assert listed == (pages - decisions) | set(site.CARRIED.values()) | {site.DECISIONS}, "nav in mkdocs.yml"
    assert all(Path(name).name in site.decisions() for name in decisions)


def test_links_of_the_repository_become_links_of_the_site() -> None:
    links = "[a](../jobs/README.md#logs) ![b](x.png) [c](../LICENSE) [`d`](../digitrec/cli.py) [e](https://example.com)"

    assert site.relinked(links, "running.md") == "[a](jobs.md#logs) ![b](x.png) c `d` [e](https://example.com)"
    assert site.relinked("[a](../running.md)", "reference/codes.md") == "[a](../running.md)"
    assert site.relinked("[a](../docs/running.md)", "jobs.md") == "[a](running.md)"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    words = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site"))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    pages = [*(tmp_path / "site").rglob("*.html")]
    assert len(pages) > 40
    for page in pages:
        asked = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^ >]*", page.read_text())
        assert not asked, page
        assert 'class="mermaid"' not in page.read_text(), f"{page}: this would be drawn by a script from elsewhere"
