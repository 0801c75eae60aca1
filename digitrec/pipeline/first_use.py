"""Tell a folder that can become a workspace from one that was named by mistake, before anything is made in it."""

import difflib
import os
from pathlib import Path

from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.pipeline.ledgers import is_new_workspace
from digitrec.settings import FILE_NAME, Settings
from digitrec.storage.folder_id import MARKER
from digitrec.text import pluralize

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".heic", ".heif", ".pdf")
"""Usual suffixes of the formats that are read. The names are enough for an advice: no file is opened."""


def check_first_use(settings: Settings) -> bool:
    """Return whether nothing of a workspace exists yet, after checking that the folder may become one.

    An empty folder may, and one that holds other files than pictures.

    Raises:
        EnvironmentFailure: the folder does not exist.
        UsageError: it belongs to another workspace, holds other workspaces, or holds pictures but no inbox.
    """
    folder = settings.workspace
    signs = [settings.inbox, settings.outbox, settings.state, folder / FILE_NAME]
    if (
        settings.source
        or settings.outbox_url
        or any(os.path.lexists(path) for path in signs if path.is_relative_to(folder))
    ):
        return False
    try:
        if not is_new_workspace(settings):
            return False
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except FileNotFoundError:
        raise EnvironmentFailure(f"the workspace {folder} does not exist", hint=_suggest_folder(folder)) from None
    except OSError:  # the service reports what cannot be listed, and tries again
        return True
    for parent in (folder, *folder.parents):
        if (parent / MARKER).is_file():
            hint = f"Name that one: `--workspace {parent.parent}`."
            raise UsageError(f"{folder} is a folder of the workspace {parent.parent}", hint=hint)
    for name in sorted(names):
        if (folder / name / settings.inbox.name / MARKER).is_file():
            hint = f"Name that one: `--workspace {folder / name}`. {_suggest_init(folder)}"
            raise UsageError(f"{folder} is no workspace, but {name} in it is one", hint=hint)
    if count := sum(map(_is_picture, names)):
        raise UsageError(
            f"{folder} holds {pluralize(count, 'picture')} and no {settings.inbox.name}/: it is no workspace",
            hint=f"To read pictures where they are: `digitrec predict`. {_suggest_init(folder)}",
        )
    return True


def count_pictures(folder: Path) -> int:
    """Return the number of files in a folder with a name like a picture; 0 if it cannot be listed."""
    try:
        return sum(map(_is_picture, os.listdir(folder)))
    except OSError:
        return 0


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(_PICTURES)


def _suggest_init(folder: Path) -> str:
    return f"`digitrec init --workspace {folder}` makes a workspace there."


def _suggest_folder(folder: Path) -> str:
    """Return the advice for a folder that does not exist: a name beside it that is similar, and how to make it."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder.parent) if entry.is_dir())
    except OSError:
        names = []
    similar = difflib.get_close_matches(folder.name, names, n=1)
    advice = f"Did you mean {folder.parent / similar[0]}? " if similar else ""
    return advice + _suggest_init(folder)
