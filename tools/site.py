"""What mkdocs asks for while it builds the site (`make docs`): pages that lie outside docs/, and their links.

README links and code point at files where they are; on the site the same links have to lead to pages.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CARRIED = {
    "jobs/README.md": "jobs.md",
    "CHANGELOG.md": "changelog.md",
    "digitrec/models/shipped/MODEL_CARD.md": "model-card.md",
}
"""Pages from elsewhere in the repository, and what they are called on the site."""
DECISIONS = "dev/decisions/index.md"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere, and a list of the decisions."""
    for source, name in CARRIED.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, DECISIONS, content=decisions()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """Turn links between files of the repository into links between pages."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, name: str) -> str:
    """Links as the site needs them; one to a file that is no page keeps its words only.

    Args:
        markdown: a page, with links as they lead in the repository.
        name: of the page, on the site.

    >>> relinked("[Jobs](../jobs/README.md#logs), [why](dev/decisions/002-litert.md), [MIT](../LICENSE)", "install.md")
    '[Jobs](jobs.md#logs), [why](dev/decisions/002-litert.md), MIT'
    >>> relinked("[install](../docs/install.md)", "jobs.md")
    '[install](install.md)'
    """
    source = next((path for path, carried in CARRIED.items() if carried == name), f"docs/{name}")

    def link(match: re.Match[str]) -> str:
        mark, words, target, fragment = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = CARRIED.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return str(words)
        return f"{mark}[{words}]({posixpath.relpath(place, posixpath.dirname(name) or '.')}{fragment or ''})"

    return _LINK.sub(link, markdown)


def decisions() -> str:
    """The page that lists why things are as they are."""
    return "# Decisions\n\nHalf a page each: the question, what was chosen, what was given up.\n\n" + "\n".join(
        _titles()
    )


def _titles() -> Iterator[str]:
    for path in sorted((ROOT / "docs" / "dev" / "decisions").glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        yield f"- [{title}]({path.name})"
