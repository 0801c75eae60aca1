"""Turn every setting into a command-line option, with help and limits of `Settings`."""

import copy
import functools
import inspect
import itertools
import os
import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from digitrec import logs, text
from digitrec.cli import suggestions
from digitrec.errors import (
    DigitrecError,
    EnvironmentFailure,
    SettingsError,
    UnexpectedFailure,
    note_step,
    wrap_memory_error,
    wrap_os_error,
)
from digitrec.settings import FORMER_SETTINGS, Settings, former_name_warning, setting_fields

debug = False
"""Whether an error shows its traceback."""

_ALWAYS = ("workspace", "state_dir", "worker", "log_format")
_PANELS = {
    "Common": (
        *("workspace", "worker", "state_dir", "model", "max_error", "second_opinion", "csv_profile"),
        "log_format",
    ),
    "Timing": ("settle_s", "scan_interval_s", "empty_wait_s", "grace_s", "run_wait_s", "run_retry_s", "watch_mode"),
    "Limits": ("batch_files", "read_timeout_s", "max_bytes", "max_pixels", "max_pages"),
    "Labels": ("labels", "labels_from_folders"),
    "Monitoring": ("max_wait_s", "max_scan_age_s", "metrics_file", "on_batch", "on_reject", "on_failure"),
    "Execution": ("engine", "threads", "scheduler", "source", "outbox_url"),
}
"""Groups of settings in the help, and the order of their options."""
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}
_PANEL_ORDER = ("Arguments", "Options", *_PANELS, "Read", "Review", "Models", "Operate", "Commands")
_MAX_COMPLETIONS = 100
FORMER_OPTIONS = {
    "dump_seen": "explain_dir",
    "keep": "older_than",
    "leave_out": "exclude",
    "from": "base_model",
    "who": "reviewer",
    "as_files": "full_pipeline",
    "ledger_lost": "without_ledger",
}
"""Former names of options that are not settings, as `settings.FORMER_SETTINGS`."""
_FORMER = "former_"
_Command = Callable[..., None]


def takes_settings(*names: str) -> Callable[[_Command], _Command]:
    """Add options for settings to a command, which is called with the resulting `settings`.

    Args:
        names: settings that get an option, besides those of every command; none means all.
    """
    selected = [setting for setting in setting_fields() if not names or setting.name in (*_ALWAYS, *names)]
    selected.sort(key=lambda setting: list(_PANEL_OF).index(setting.name))

    def decorate(command: _Command) -> _Command:
        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
        options = [_option(setting) for setting in selected]
        present = {option.name: option for option in (*own, *options)}
        former = [
            _former_option(name, present.get(new))
            for name, new in (FORMER_SETTINGS | FORMER_OPTIONS).items()
            if new in present or not (new or names)
        ]
        step = command.__name__.replace("_", " ")

        @functools.wraps(command)
        def with_settings(*, show_debug: bool, **values: Any) -> None:
            global debug  # noqa: PLW0603 - read by cli.main after the command has failed
            debug = show_debug
            flags = {setting.name: values.pop(setting.name) for setting in selected}
            flags |= {name: values.pop(_FORMER + name, None) for name in FORMER_SETTINGS}
            workspace = flags.pop("workspace")
            warnings = []
            for name, new in FORMER_OPTIONS.items():
                if value := values.pop(_FORMER + name, None):
                    values[new] = values[new] or value
                    warnings.append(former_name_warning(name, new, "flag"))
            with convert_errors(step, workspace or Path()):
                try:
                    settings = Settings.load(workspace, flags)
                except SettingsError:
                    if step in {"run", "watch"}:  # the exit code of a held inbox comes before that of a setting
                        from digitrec.pipeline.workspace import check_not_held

                        check_not_held(workspace, flags["worker"])
                    raise
            start_logging(settings, warnings)
            with convert_errors(step, settings.workspace):
                command(settings=settings, **values)

        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        parameters = [*own, _DEBUG, *options, *former]
        with_settings.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        with_settings.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {
            "return": None
        }
        return with_settings

    return decorate


def start_logging(settings: Settings, warnings: Sequence[str] = ()) -> None:
    """Configure the log of a command or a job, and warn of former names in use."""
    logs.configure(settings.log_format)
    for warning in (*settings.warnings, *warnings):
        logs.warning("a former name is used", why=warning)


_HANDLED_BY_MAIN = (DigitrecError, typer.Exit, typer.Abort, typer.BadParameter)
"""Exceptions that `cli.main` prints, or that end a command."""


@contextmanager
def convert_errors(step: str, workspace: Path) -> Iterator[None]:
    """Turn any exception of a command or a job into a DigitrecError; log an unexpected one."""
    try:
        with note_step(step, workspace):
            yield
    except KeyboardInterrupt:  # typer would exit with 1
        typer.echo("digitrec: stopped by Ctrl-C", err=True)
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # standard output is closed; typer would exit with 1, a result of `verify`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's last flush fails
        raise SystemExit(EnvironmentFailure.exit_code) from None
    except sqlite3.Error as error:
        hint = "`digitrec doctor` names the ledger and the fix."
        raise EnvironmentFailure(f"{step} failed, at a ledger of {workspace}: {error}", hint=hint) from error
    except OSError as error:
        raise wrap_memory_error(error) or wrap_os_error(error) from error
    except Exception as error:
        if debug or isinstance(error, _HANDLED_BY_MAIN):
            raise
        raise wrap_memory_error(error) or UnexpectedFailure(logs.log_exception("unexpected error", error)) from error


def warn_if_unread(settings: Settings) -> bool:
    """Warn on standard error if nothing was ever read in a workspace, as with a mistyped name; return whether so."""
    from digitrec.pipeline.ledgers import is_unread_workspace, open_ledgers

    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        is_unread = is_unread_workspace(settings, ledgers)
    if is_unread:
        message = f"nothing was ever read in {settings.workspace}; another is named with --workspace DIR"
        typer.echo(text.escape_message(message), err=True)
    return is_unread


def format_workspace_flags(settings: Settings) -> str:
    """Return the flags that named the workspace, for commands that are printed."""
    names = [name for name in ("workspace", "state_dir") if settings.sources.get(name) == "flag"]
    flags = [f" --{name.replace('_', '-')} {shlex.quote(str(getattr(settings, name)))}" for name in names]
    return text.escape_message("".join(flags))


class GroupedCommand(TyperCommand):
    """Command whose help groups options by `rich_help_panel`, as plain text."""

    allow_extra_args = True  # `parse_args` refuses them, with a suggestion

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raise UsageError with a suggestion for those that the command does not take."""
        rest = super().parse_args(ctx, [_expand_home(word) for word in args])
        if ctx.args and not ctx.resilient_parsing:
            options = {name for param in self.params for name in param.opts}
            raise suggestions.reject_arguments(_command_path(ctx), ctx.args, options)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, ungrouped ones first."""
        records = [(param, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        titles = {param: "Arguments" if param.param_type_name == "argument" else "Options" for param, _ in records}
        _write_panels(formatter, [(_panel(param, titles[param]), record) for param, record in records if record])


class GroupedCommands(TyperGroup):
    """Program whose help groups commands by `rich_help_panel`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command named; raise UsageError with a suggestion for a file or folder in its place."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            error = suggestions.reject_command(args[0])
            if error is not None:
                raise error
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click calls it
        """Write the first line of the help of each visible command."""
        commands = {name: command for name, command in self.commands.items() if not command.hidden}
        width = formatter.width - 6 - max(map(len, commands))
        rows = (
            (_panel(command, "Commands"), (name, command.get_short_help_str(width)))
            for name, command in commands.items()
        )
        _write_panels(formatter, rows)


def _command_path(ctx: Any) -> str:
    """Return the command of a context as in the documentation, however the program was started: "models list"."""
    above = _command_path(ctx.parent) if ctx.parent is not None else ""
    return f"{above} {ctx.info_name}".strip() if ctx.parent is not None else ""


def _expand_home(word: str) -> str:
    """Return `--option=~/path` with the home folder in place of `~`, which shells expand only at the start of a word.

    >>> _expand_home("--workspace=~nobody-here/scans"), _expand_home("~/scans")
    ('--workspace=~nobody-here/scans', '~/scans')
    """
    name, _, value = word.partition("=")
    is_option = name.startswith("--") and value.startswith("~")
    return f"{name}={os.path.expanduser(value)}" if is_option else word  # noqa: PTH111 - a Path raises for no user


def _panel(entry: object, default: str) -> str:
    return getattr(entry, "rich_help_panel", None) or default


def _write_panels(formatter: Any, rows: Iterable[tuple[str, tuple[str, str]]]) -> None:
    panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in _PANEL_ORDER}
    for panel, row in rows:
        panels[panel].append(row)
    for panel, entries in panels.items():
        if entries:
            with formatter.section(panel):
                formatter.write_dl(entries)


def in_panel(cli: typer.Typer, panel: str) -> Callable[..., Callable[[_Command], _Command]]:
    """Return the decorator that adds a command to a group of the help."""
    return functools.partial(cli.command, cls=GroupedCommand, rich_help_panel=panel)


def _completion(list_values: Callable[[Settings, str], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Return a shell completion of values of the workspace; none where it cannot be read."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            folders = {name: Path(ctx.params[name]) for name in ("workspace", "state_dir") if ctx.params.get(name)}
            settings = Settings.load(folders.pop("workspace", None), folders)
            values = (value for value in list_values(settings, incomplete) if value.startswith(incomplete))
            return list(itertools.islice(values, _MAX_COMPLETIONS))
        except (DigitrecError, OSError, sqlite3.Error):  # a completion shows no messages
            return []

    return complete


@_completion
def complete_batches(settings: Settings, _: str) -> Iterable[str]:
    """Return published batches, newest first."""
    from digitrec.storage.csv_tables import find_published

    return reversed(find_published(settings.outbox))


@_completion
def complete_models(settings: Settings, _: str) -> Iterable[str]:
    """Return the shipped model and the trained ones."""
    trained = (path.name for path in settings.models.iterdir()) if settings.models.is_dir() else ()
    return ["shipped", *sorted(name for name in trained if not name.startswith("."))]


@_completion
def complete_data_sets(_: Settings, __: str) -> Iterable[str]:
    """Return the names of data set loaders."""
    from digitrec.training.datasets.registry import LOADERS

    return LOADERS


@_completion
def complete_files(settings: Settings, incomplete: str) -> Iterable[str]:
    """Return paths of claimed files, in order; the index of the ledger finds them by prefix."""
    from digitrec.pipeline.ledgers import open_ledgers

    start = os.fsencode(incomplete)
    query = f"SELECT DISTINCT path FROM claims WHERE path >= ? AND path < ? ORDER BY path LIMIT {_MAX_COMPLETIONS}"
    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        for ledger in ledgers.values():
            for (path,) in ledger.query(query, (start, start + b"\xff")):
                yield text.escape(os.fsdecode(path))


@functools.cache
def _option(setting: Field[Any]) -> inspect.Parameter:
    default, choices = setting.default, setting.metadata["choices"]
    parts = [setting.metadata["help"]]
    parts += [f"({', '.join(choices)})"] if choices else []
    parts += [f"[default: {str(default).lower()}]"] if default not in (None, Path()) else []
    name = "--" + setting.name.replace("_", "-")
    flag = f"{name}/--no-{name[2:]}" if isinstance(default, bool) else name
    flags = [flag, setting.metadata["short"]] if setting.metadata["short"] else [flag]
    option = typer.Option(
        *flags,
        help=" ".join(parts),
        show_default=False,
        rich_help_panel=_PANEL_OF[setting.name],
        autocompletion=complete_models if setting.name == "model" else None,
        readable=False,  # typer would check a relative path here, but it may start at the workspace
    )
    kind: Any = Path if setting.type in (Path, Path | None) else type(default) if default is not None else str
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _former_option(name: str, present: inspect.Parameter | None) -> inspect.Parameter:
    """Return a hidden option under a former name; without a present one, it takes any value and has no effect."""
    kind: Any = str | None
    option: Any = typer.Option()
    if present is not None:
        kind, option = present.annotation.__origin__, copy.copy(present.annotation.__metadata__[0])
    # typer keeps the first declaration of an annotated option in `default`: the present name must not stay there.
    option.default, option.param_decls, option.hidden = ..., (f"--{name.replace('_', '-')}",), True
    return inspect.Parameter(
        _FORMER + name,
        inspect.Parameter.KEYWORD_ONLY,
        default=present and present.default,
        annotation=Annotated[kind, option],
    )


_DEBUG = inspect.Parameter(
    "show_debug",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
)
