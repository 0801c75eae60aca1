"""Registry of the trained models of a workspace and the shipped one, with promote and rollback.

`<root>/<id>/` are model folders. `<root>/current` has the id of the model in use; without it the shipped one is used.
`<root>/earlier` has the ids used before, latest last, for `rollback`.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from digitrec.errors import ModelError, describe_error
from digitrec.files import atomic_write, fsync_folder, make_dir
from digitrec.models.card import ModelCard
from digitrec.models.package import CARD, ModelPackage
from digitrec.text import random_hex

SHIPPED = "shipped"
_CURRENT = "current"
_EARLIER = "earlier"
_HINT = "`digitrec models list` shows the models."


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One line of `digitrec models list`."""

    name: str
    """Argument of `--model` and `models promote`: its id, or `shipped`."""
    folder: Path
    is_current: bool
    card: ModelCard | None
    problem: str = ""
    """Why it cannot be used; then the card is None."""


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """The models of a workspace."""

    root: Path
    shipped: Path

    def list(self) -> tuple[ModelListing, ...]:
        """Return every model, usable or not: the shipped one, then the trained ones by age."""
        listings = [self._describe(path.name, path) for path in _list_dirs(self.root)]
        listings.sort(key=lambda model: (model.card.created_at if model.card else "", model.name))
        return (self._describe(SHIPPED, self.shipped), *listings)

    def current(self) -> Path:
        """Return the folder of the model in use.

        Raises:
            ModelError: the promoted model was removed.
        """
        name = self.current_name()
        if name == SHIPPED:
            return self.shipped
        if not (self.root / name / CARD).is_file():
            raise ModelError(
                f"the current model {name} is not in {self.root}",
                hint="`digitrec models rollback` goes back to the one before, `models promote shipped` to the shipped.",
            )
        return self.root / name

    def current_name(self) -> str:
        """Return the id of the model in use, or `shipped`."""
        names = _read_names(self.root / _CURRENT)
        return names[0] if names else SHIPPED

    def find(self, name_or_path: str) -> Path:
        """Return the folder of a model by `shipped`, an id or its unique beginning, or a path.

        Raises:
            ModelError: there is no such model, or the beginning is ambiguous.
        """
        # Anything with a slash or a leading dot is a path, so that no name leads out of the registry.
        if name_or_path and not name_or_path.startswith((".", "~")) and "/" not in name_or_path:
            models = {model.card.id if model.card else model.name: model for model in reversed(self.list())}
            models[SHIPPED] = self._describe(SHIPPED, self.shipped)
            ids = [name_or_path] if name_or_path in models else [id for id in models if id.startswith(name_or_path)]
            if len(ids) > 1:
                raise ModelError(f"several models begin with {name_or_path}: {', '.join(sorted(ids))}", hint=_HINT)
            if ids:
                return models[ids[0]].folder
        # Unlike the methods of Path, these raise no error for an unknown user.
        path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111
        if name_or_path and os.path.isfile(path / CARD):  # noqa: PTH113
            return path
        raise ModelError(f"there is no model {name_or_path!r}", hint=_HINT)

    def promote(self, name: str) -> str:
        """Make a model of this registry, or `shipped`, the current one; return its name.

        The caller compares the accuracy of the models first.

        Raises:
            ModelError: it is not in the registry, or cannot be used.
        """
        folder = self.find(name)
        if folder != self.shipped and folder.parent != self.root:
            raise ModelError(
                f"{folder} is not among the models of this workspace",
                hint=f"Copy the folder to {self.root}/<its id>, or use it with --model {folder}.",
            )
        ModelPackage.open(folder)
        promoted, current = SHIPPED if folder == self.shipped else folder.name, self.current_name()
        if promoted != current:
            make_dir(self.root)
            # The history first: a crash between the two writes leaves the current model as it is.
            self._write(_EARLIER, (*_read_names(self.root / _EARLIER), current))
            self._write(_CURRENT, (promoted,))
        return promoted

    def rollback(self) -> str:
        """Make the previous model the current one; return its name.

        Raises:
            ModelError: there is no previous model, or it is no longer usable.
        """
        earlier = _read_names(self.root / _EARLIER)
        while earlier and earlier[-1] == self.current_name():
            earlier = earlier[:-1]
        if not earlier:
            raise ModelError("there is no earlier model to go back to", hint=_HINT)
        previous = earlier[-1]
        ModelPackage.open(self.shipped if previous == SHIPPED else self.root / previous)
        self._write(_CURRENT, (previous,))
        self._write(_EARLIER, earlier[:-1])
        return previous

    def _describe(self, name: str, folder: Path) -> ModelListing:
        is_current = self.current_name() == name
        try:
            return ModelListing(name, folder, is_current, ModelPackage.open(folder).card)
        except ModelError as error:
            return ModelListing(name, folder, is_current, None, str(error))

    def _write(self, file: str, names: tuple[str, ...]) -> None:
        atomic_write(self.root / file, "".join(f"{name}\n" for name in names))


def install(root: Path, name: str, files: Mapping[str, str | bytes]) -> Path:
    """Write the model folder `root/name` atomically, replacing one of this name.

    Raises:
        ModelError: the files are no valid model.
    """
    make_dir(root)
    target = root / name
    draft = root / f".draft-{random_hex(8)}"
    draft.mkdir()
    try:
        for file, content in files.items():
            atomic_write(draft / file, content)
        ModelPackage.open(draft)
        _replace_folder(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    fsync_folder(root)
    return target


def _replace_folder(draft: Path, target: Path) -> None:
    """Rename a folder over another, which is removed after it, or restored on failure."""
    if not target.exists():
        draft.rename(target)
        return
    old = draft.with_name(f"{draft.name}-old")
    target.rename(old)
    try:
        draft.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _list_dirs(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} cannot be read: {describe_error(error)}", hint="Remove it: the shipped model is used then."
        ) from None
