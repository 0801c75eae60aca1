"""What a slim installation leaves out (docs/slim.md), and what is told whoever asks for it."""

from importlib.util import find_spec

from digitrec.errors import MissingPackage

TRAINING = ("tensorflow", "keras", "scipy")
"""What it takes to train a network."""
_INSTALLED_AS = {"sklearn": "scikit-learn"}
"""Packages whose name in an import is another one than for pip."""


def needs(what: str, *packages: str) -> None:
    """Refuse at once what could not be finished; imports nothing, as some of them take seconds.

    Args:
        what: the thing that is wanted, as a sentence begins.
        packages: by the names they are imported by.

    Raises:
        MissingPackage: not all of them are installed.

    >>> needs("A doctest", "json", "this_is_not_installed")
    Traceback (most recent call last):
    digitrec.errors.MissingPackage: A doctest needs this_is_not_installed, which is not installed here
    """
    missing = [_INSTALLED_AS.get(name, name) for name in packages if find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        hint = f"Install with `python -m pip install {' '.join(missing)}`; docs/slim.md tells what works without."
        raise MissingPackage(f"{what} needs {', '.join(missing)}, which {verb} not installed here", hint=hint)
