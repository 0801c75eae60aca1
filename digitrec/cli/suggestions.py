"""Suggest the command that was probably meant, for a file or folder named where a command takes none."""

import os
from collections.abc import Container, Sequence
from pathlib import Path

from digitrec.errors import UsageError

_MAX_NAMES = 3
"""Arguments that a message repeats."""


def reject_arguments(command: str, arguments: Sequence[str], options: Container[str]) -> UsageError:
    """Return the error for arguments of a command that takes fewer.

    Args:
        command: name of the command, without that of the program.
        arguments: those it does not take.
        options: names of its options.
    """
    names = " ".join(arguments[:_MAX_NAMES]) + (" ..." if len(arguments) > _MAX_NAMES else "")
    path = Path(arguments[0])
    if "--workspace" not in options or not (os.path.lexists(path) or command == "init"):
        hint = f"`digitrec {command} --help` shows what it takes."
    elif os.path.isdir(path) or not os.path.lexists(path):  # noqa: PTH112 - a Path raises without permission
        hint = f"Did you mean `digitrec {command} --workspace {_workspace_of(path)}`{_or_predict(command, path)}?"
    else:
        hint = f"Did you mean `digitrec predict {names}`?"
    return UsageError(f"{command} takes no argument {names}", hint=hint)


def reject_command(name: str) -> UsageError | None:
    """Return the error for a file, a folder or `help` in place of a command; None for any other word."""
    path = Path(name)
    if name == "help":
        hint = "`digitrec --help` lists the commands, `digitrec COMMAND --help` explains one."
    elif os.path.isdir(path):  # noqa: PTH112 - a Path raises without permission
        hint = f"Did you mean `digitrec run --workspace {_workspace_of(path)}`{_or_predict('run', path)}?"
    elif os.path.lexists(path):
        hint = f"Did you mean `digitrec predict {name}`?"
    else:
        return None
    return UsageError(f"{name} is no command", hint=hint)


def _workspace_of(path: Path) -> Path:
    """Return the workspace that a folder is, or whose inbox it is."""
    return path.parent if path.name == "inbox" else path


def _or_predict(command: str, path: Path) -> str:
    return f", or `digitrec predict {path / '*'}`" if command in {"run", "watch"} else ""
