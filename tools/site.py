"""Hooks of mkdocs for `make docs`: pages from outside docs/, their links, and the source of each page."""

import json
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
    "CONTRIBUTING.md": "contributing.md",
    "digitrec/models/shipped/MODEL_CARD.md": "model-card.md",
    "docs/notebooks/mnist.ipynb": "notebooks/mnist.md",
}
"""Name on the site of each page from outside docs/, or that is no Markdown there."""
DECISIONS = "dev/decisions/index.md"
SOURCES = "_sources"
"""Folder of the site with the Markdown of each page."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere, a list of the decisions, and the source of each page."""
    for source, name in CARRIED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = notebook_to_markdown(text, Path(source).name) if source.endswith(".ipynb") else text
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, DECISIONS, content=decisions()))
    for file in list(files.documentation_pages()):
        files.append(File.generated(config, f"{SOURCES}/{file.src_uri}.txt", content=file.content_string))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - names of mkdocs
    """Turn links between files of the repository into links between pages, and add a link to the source."""
    name = page.file.src_uri
    source = posixpath.relpath(f"{SOURCES}/{name}.txt", posixpath.dirname(name) or ".")
    return f"{relinked(markdown, name)}\n\n---\n\n[Source of this page]({source})\n"


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - names of mkdocs
    """Name the search dialog for screen readers."""
    return name_search_dialog(output)


def on_post_template(output_content: str, *, template_name: str, config: MkDocsConfig) -> str:  # noqa: ARG001 - names of mkdocs
    """Do the same on pages without Markdown, such as 404.html."""
    return name_search_dialog(output_content)


def name_search_dialog(html: str) -> str:
    """Return a page of the site whose search dialog has an accessible name.

    >>> name_search_dialog('<div data-md-component="search" role="dialog">')
    '<div data-md-component="search" role="dialog" aria-label="Search">'
    """
    dialog = 'data-md-component="search" role="dialog"'
    return html.replace(dialog, f'{dialog} aria-label="Search"')


def relinked(markdown: str, name: str) -> str:
    """Rewrite the links of a page for the site; a link to a file that is not on it becomes plain text.

    Args:
        markdown: a page with links as in the repository.
        name: its name on the site.

    >>> relinked("[Jobs](../jobs/README.md#logs), [why](dev/decisions/002-litert.md), [MIT](../LICENSE)", "running.md")
    '[Jobs](jobs.md#logs), [why](dev/decisions/002-litert.md), MIT'
    >>> relinked("[Run it](../docs/running.md)", "jobs.md")
    '[Run it](running.md)'
    """
    source = next((path for path, carried in CARRIED.items() if carried == name), f"docs/{name}")

    def link(match: re.Match[str]) -> str:
        mark, words, target, fragment = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path == "docs/dev/decisions":
            path = f"docs/{DECISIONS}"
        place = CARRIED.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return str(words)
        return f"{mark}[{words}]({posixpath.relpath(place, posixpath.dirname(name) or '.')}{fragment or ''})"

    return _LINK.sub(link, markdown)


def notebook_to_markdown(notebook: str, name: str) -> str:
    """Return the cells of a Jupyter notebook as a page that links the file.

    Args:
        notebook: content of the file.
        name: its name.

    >>> print(notebook_to_markdown('{"cells": [{"cell_type": "code", "source": ["1 + 1"]}]}', "sum.ipynb"))
    ```python
    1 + 1
    ```
    <BLANKLINE>
    The notebook, without outputs: <a href="sum.ipynb">sum.ipynb</a>
    """
    cells = [
        f"```python\n{source}\n```" if cell["cell_type"] == "code" else source
        for cell in json.loads(notebook)["cells"]
        if (source := "".join(cell["source"]))
    ]
    return "\n\n".join([*cells, f'The notebook, without outputs: <a href="{name}">{name}</a>'])


def decisions() -> str:
    """Return the page that lists the decisions."""
    intro = "# Decisions\n\nArchitecture decision records: context, decision, consequences, and when to reconsider.\n\n"
    return intro + "\n".join(_titles())


def _titles() -> Iterator[str]:
    for path in sorted((ROOT / "docs" / "dev" / "decisions").glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        yield f"- [{title}]({path.name})"
