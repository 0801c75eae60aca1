"""The trained models of a workspace, the shipped one, and which of them is in use.

`<root>/<id>/` are model folders. `<root>/current` names the one in use; without it the shipped one is. `<root>/earlier`
names those in use before, the latest last, for `rollback`.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from digitrec.errors import ModelError, describe_error
from digitrec.files import atomic_write, fsync_folder, make_dir
from digitrec.models.card import ModelCard
from digitrec.models.package import CARD, ModelPackage

SHIPPED = "shipped"
_CURRENT = "current"
_EARLIER = "earlier"
_HINT = "`digitrec models list` names those there are."


@dataclass(frozen=True, slots=True)
class ModelListing:
    """One line of `digitrec models list`."""

    name: str
    """What `--model` and `models promote` take: its id, or `shipped`."""
    folder: Path
    is_current: bool
    card: ModelCard | None
    problem: str = ""
    """Why it cannot be used; the card is None then."""


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Where models lie."""

    root: Path
    shipped: Path

    def list(self) -> tuple[ModelListing, ...]:
        """Every model, usable or not: the shipped one, then the trained ones by age."""
        stored = [self._look(path.name, path) for path in _folders(self.root)]
        stored.sort(key=lambda one: (one.card.created_at if one.card else "", one.name))
        return (self._look(SHIPPED, self.shipped), *stored)

    def current(self) -> Path:
        """The folder of the model in use.

        Raises:
            ModelError: the one that was promoted is gone.
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
        """Its id, or `shipped`."""
        names = _lines(self.root / _CURRENT)
        return names[0] if names else SHIPPED

    def find(self, name_or_path: str) -> Path:
        """The folder of a model: `shipped`, an id or the unmistakable beginning of one, or a path.

        Raises:
            ModelError: there is none, or several begin like this.
        """
        # Anything with a slash or a leading dot is a path, so that no name leads out of the store.
        if name_or_path and not name_or_path.startswith((".", "~")) and "/" not in name_or_path:
            known = {one.card.id if one.card else one.name: one for one in reversed(self.list())}
            known[SHIPPED] = self._look(SHIPPED, self.shipped)
            fitting = [name_or_path] if name_or_path in known else [id for id in known if id.startswith(name_or_path)]
            if len(fitting) > 1:
                raise ModelError(f"several models begin with {name_or_path}: {', '.join(sorted(fitting))}", hint=_HINT)
            if fitting:
                return known[fitting[0]].folder
        # Unlike a Path's own methods these raise for no name, as of an unknown user.
        path = Path(os.path.expanduser(name_or_path))  # noqa: PTH111
        if name_or_path and os.path.isfile(path / CARD):  # noqa: PTH113
            return path
        raise ModelError(f"there is no model {name_or_path!r}", hint=_HINT)

    def promote(self, name: str) -> str:
        """Make a model of this store, or `shipped`, the current one; gives its name.

        Whether it deserves it is the caller's question: `training.compare.not_worse`.

        Raises:
            ModelError: it is not in the store, or cannot be used.
        """
        folder = self.find(name)
        if folder != self.shipped and folder.parent != self.root:
            raise ModelError(
                f"{folder} is not among the models of this workspace",
                hint=f"Copy the folder to {self.root}/<its id>, or use it with --model {folder}.",
            )
        ModelPackage.open(folder)
        chosen, before = SHIPPED if folder == self.shipped else folder.name, self.current_name()
        if chosen != before:
            make_dir(self.root)
            # First what came before: cut off between the two writes, nothing has changed yet.
            self._write(_EARLIER, (*_lines(self.root / _EARLIER), before))
            self._write(_CURRENT, (chosen,))
        return chosen

    def rollback(self) -> str:
        """Go back to the model that was current before this one; gives its name.

        Raises:
            ModelError: there was none before, or it cannot be used any more.
        """
        earlier = _lines(self.root / _EARLIER)
        while earlier and earlier[-1] == self.current_name():
            earlier = earlier[:-1]
        if not earlier:
            raise ModelError("there is no earlier model to go back to", hint=_HINT)
        chosen = earlier[-1]
        ModelPackage.open(self.shipped if chosen == SHIPPED else self.root / chosen)
        self._write(_CURRENT, (chosen,))
        self._write(_EARLIER, earlier[:-1])
        return chosen

    def _look(self, name: str, folder: Path) -> ModelListing:
        is_current = self.current_name() == name
        try:
            return ModelListing(name, folder, is_current, ModelPackage.open(folder).card)
        except ModelError as why:
            return ModelListing(name, folder, is_current, None, str(why))

    def _write(self, file: str, names: tuple[str, ...]) -> None:
        atomic_write(self.root / file, "".join(f"{name}\n" for name in names))


def install(root: Path, name: str, files: Mapping[str, str | bytes]) -> Path:
    """Write the model folder `root/name`: it appears whole, replacing one of this name, or not at all.

    Raises:
        ModelError: what the files make is no usable model.
    """
    make_dir(root)
    target = root / name
    draft = root / f".draft-{secrets.token_hex(8)}"
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
    """Put a folder in the place of another, which is removed once that is done, or back if it cannot be."""
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


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _lines(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as why:
        raise ModelError(
            f"{path} cannot be read: {describe_error(why)}", hint="Remove it: the shipped model is used then."
        ) from None
