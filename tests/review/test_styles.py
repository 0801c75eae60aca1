"""The pages belong to the same family as the reports, and bring nothing from elsewhere."""

import re
from importlib.resources import files

import pytest

STATIC = files("digitrec.review") / "static"
TEMPLATES = files("digitrec.review") / "templates"


def colours(css: str) -> list[dict[str, str]]:
    """The variables of each `:root`: light, then dark."""
    return [
        dict(re.findall(r"--([a-z-]+): ([^;]+);", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]


def test_the_colours_are_those_of_the_reports_in_light_and_in_dark() -> None:
    reports = (files("digitrec.reports") / "templates" / "_style.css").read_text(encoding="utf-8")
    own = (STATIC / "review.css").read_text(encoding="utf-8")

    dark = (STATIC / "dark.css").read_text(encoding="utf-8")

    for ours, theirs in zip(colours(own)[:1] + colours(dark), colours(reports)[:2], strict=True):
        shared = ours.keys() & theirs.keys()
        assert len(shared) >= 10
        assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


@pytest.mark.parametrize("script", [path.name for path in STATIC.iterdir() if path.name.endswith(".js")])
def test_scripts_put_data_in_as_text_only_and_ask_nobody_else(script: str) -> None:
    source = (STATIC / script).read_text(encoding="utf-8")

    for risky in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
    ):
        assert risky not in source, risky
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", source)


def test_templates_hold_no_script_and_no_style_of_their_own() -> None:
    for template in TEMPLATES.iterdir():
        source = template.read_text(encoding="utf-8")
        assert not re.findall(r"<script(?![^>]*src=\"/static/)|<style|\sstyle=|\son[a-z]+=", source), template.name
        assert "| safe" not in source
        assert "//" not in re.sub(r"\(max_bytes // 1000000\)", "", source), template.name
