"""Compiled templates are kept beside Python's compiled modules."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from digitrec.reports import html


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(html, "__file__", str(tmp_path / "html.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    html._environment.cache_clear()
    yield tmp_path
    html._environment.cache_clear()


def test_compiled_templates_are_cached_only_where_python_caches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert html._compiled() is None, "Python has written nothing there"

    (home / "__pycache__").mkdir()
    assert html._compiled() is not None

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert html._compiled() is None


def test_a_page_rendered_from_the_cache_is_the_same(home: Path) -> None:
    made = [_style()]
    (home / "__pycache__").mkdir()
    for _ in range(2):  # kept now; then made with it
        html._environment.cache_clear()
        made.append(_style())
        assert list((home / "__pycache__").glob("template-*.cache"))

    assert "{" in made[0]
    assert made[0] == made[1] == made[2]


def _style() -> str:
    return html.render_template("_style.css")
