"""Settings as command-line options: every knob of `Settings` is an option, its help and limits taken from there."""

import copy
import functools
import inspect
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitrec import logs, names
from digitrec.errors import DigitrecError, EnvironmentFailure, at_step, failure_of, memory_failure
from digitrec.settings import FORMER, Settings, former_name_warning, knobs

if TYPE_CHECKING:
    from digitrec.ledger import Ledger

debug = False
"""Show tracebacks."""

_ALWAYS = ("workspace", "state_dir", "worker", "log_format")
_LAST = ("engine", "scheduler", "source", "outbox_url")
"""What only those need who read on several machines, or from a store."""
FORMER_OPTIONS = {
    "dump_seen": "explain_dir",
    "keep": "older_than",
    "leave_out": "exclude",
    "from": "base_model",
    "who": "reviewer",
    "as_files": "full_pipeline",
    "ledger_lost": "without_ledger",
}
"""Former names of options that are no settings, as `settings.FORMER`."""
_FORMER = "former_"
_Command = Callable[..., None]


def takes_settings(*names: str) -> Callable[[_Command], _Command]:
    """Give a command options for settings; it is called with the `settings` they make.

    Args:
        names: the settings that get an option, besides those every command has; none means all.
    """
    wanted = [knob for knob in knobs() if not names or knob.name in (*_ALWAYS, *names)]

    def decorate(command: _Command) -> _Command:
        signature = inspect.signature(command)
        own = [each for name, each in signature.parameters.items() if name != "settings"]
        options = [_option(knob) for knob in wanted]
        present = {option.name: option for option in (*own, *options)}
        former = [
            _former_option(name, present.get(now))
            for name, now in (FORMER | FORMER_OPTIONS).items()
            if now in present or not (now or names)
        ]
        step = command.__name__.replace("_", " ")

        @functools.wraps(command)
        def with_settings(*, debug_wanted: bool, **given: Any) -> None:
            global debug  # noqa: PLW0603 - read by cli.main after the command has failed
            debug = debug_wanted
            flags = {knob.name: given.pop(knob.name) for knob in wanted}
            flags |= {name: given.pop(_FORMER + name, None) for name in FORMER}
            workspace = flags.pop("workspace")
            warnings = []
            for name, now in FORMER_OPTIONS.items():
                if value := given.pop(_FORMER + name, None):
                    given[now] = value
                    warnings.append(former_name_warning(name, now, "flag"))
            with failing_clearly(step, workspace or Path()):
                settings = Settings.load(workspace, flags)
            logs.start(settings.log_format)
            for warning in (*settings.warnings, *warnings):
                logs.warn("a former name is used", why=warning)
            with failing_clearly(step, settings.workspace):
                command(settings=settings, **given)

        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        first, *others = sorted(options, key=_place)
        parameters = [first, *own, *others, *former, _DEBUG]
        with_settings.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_settings.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        return with_settings

    return decorate


_FOR_MAIN = (DigitrecError, typer.Exit, typer.Abort, typer.BadParameter)
"""What `cli.main` prints, or how a command ends."""


@contextmanager
def failing_clearly(step: str, workspace: Path) -> Iterator[None]:
    """Raise a DigitrecError for whatever fails in a command or a job, as the service does; log what was unexpected."""
    try:
        with at_step(step, workspace):
            yield
    except KeyboardInterrupt:  # typer would make it a 1
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # nobody reads our output; typer would end with 1, a verdict of `verify`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's last flush complains
        raise SystemExit(EnvironmentFailure.exit_code) from None
    except sqlite3.Error as why:
        hint = "`digitrec doctor` tells which, and the cure."
        raise EnvironmentFailure(f"{step} failed, at a ledger of {workspace}: {why}", hint=hint) from why
    except OSError as why:
        raise memory_failure(why) or failure_of(why) from why
    except Exception as why:
        if debug or isinstance(why, _FOR_MAIN):
            raise
        from digitrec import retrying

        raise memory_failure(why) or retrying.unexpected_failure(why) from why


def tell_if_unread(settings: Settings, ledgers: Mapping[str, "Ledger"]) -> bool:
    """Say so on standard error if nothing was ever read here, as in a mistyped workspace; gives whether it is so."""
    from digitrec.operations.ledgers import is_unread

    is_so = is_unread(settings, ledgers)
    if is_so:
        told = f"nothing was ever read in {settings.workspace}; another is named with --workspace DIR"
        typer.echo(names.printable(told), err=True)
    return is_so


def _option(knob: Field[Any]) -> inspect.Parameter:
    default, choices = knob.default, knob.metadata["choices"]
    parts = [knob.metadata["help"]]
    parts += [f"({', '.join(choices)})"] if choices else []
    parts += [f"[default: {str(default).lower()}]"] if default not in (None, Path()) else []
    name = "--" + knob.name.replace("_", "-")
    flag = f"{name}/--no-{name[2:]}" if isinstance(default, bool) else name
    flags = [flag, knob.metadata["short"]] if knob.metadata["short"] else [flag]
    option = typer.Option(
        *flags,
        help=" ".join(parts),
        show_default=False,
        rich_help_panel="Settings",
        readable=False,  # typer would look for a relative path here, and it may mean one in the workspace
    )
    kind: Any = Path if knob.type in (Path, Path | None) else type(default) if default is not None else str
    return inspect.Parameter(
        knob.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _former_option(name: str, present: inspect.Parameter | None) -> inspect.Parameter:
    """Return a hidden option under a former name of another; None: one that takes any value and has no effect."""
    kind: Any = str | None
    option: Any = typer.Option()
    if present is not None:
        kind, option = present.annotation.__origin__, copy.copy(present.annotation.__metadata__[0])
    option.param_decls, option.hidden = (f"--{name.replace('_', '-')}",), True
    return inspect.Parameter(
        _FORMER + name,
        inspect.Parameter.KEYWORD_ONLY,
        default=present and present.default,
        annotation=Annotated[kind, option],
    )


def _place(option: inspect.Parameter) -> int:
    """Where an option stands in the help: the folder first, what few need last."""
    return -1 if option.name == "workspace" else int(option.name in _LAST)


_DEBUG = inspect.Parameter(
    "debug_wanted",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
)
