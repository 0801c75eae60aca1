"""`python -m tools.reference`: docs/reference/, made from the code; tests/tools/test_reference.py compares.

Commands come from typer, settings from `Settings`, columns from `results` and `exporting`, codes from `records` and
`errors`, metrics from `operations.metrics`; `reference_words` adds what these do not say.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from digitrec.cli.main import cli
from digitrec.errors import (
    BusyError,
    DataError,
    DigitrecError,
    EnvironmentFailure,
    ModelError,
    SettingsError,
    UsageError,
)
from digitrec.exchange.export import COLUMNS as EXPORTED
from digitrec.monitoring.metrics import METRICS
from digitrec.settings import setting_fields
from digitrec.storage import csv_tables
from digitrec.types import Reason
from tools import reference_words as words

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made from the code by `python -m tools.reference` (`make docs`): change it there. -->\n\n"
_ERRORS = (UsageError, DataError, EnvironmentFailure, BusyError, SettingsError, ModelError)


def main() -> int:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(PAGES)} pages in {FOLDER.relative_to(ROOT)}")
    return 0


def pages() -> dict[str, str]:
    """Every page, by its file name."""
    return {name: MADE + "\n".join(make()).rstrip() + "\n" for name, make in PAGES.items()}


def commands() -> Iterator[str]:
    """What can be typed, with every option."""
    yield from ("# Commands", "")
    yield "Every command takes `--workspace`, `--worker`, `--state-dir`, `--log-format` and `--debug` (show the"
    yield "traceback of an error), and `--help`. A setting may be given as an option, as a variable or in a file:"
    yield "[settings](settings.md). What commands end with: [exit codes](codes.md#exit-codes)."
    for name, command in every_command():
        yield from ("", f"## digitrec {name}", "", *_help(command), "")
        yield from ("```text", f"digitrec {name} {_usage(command)}".rstrip(), "```", "")
        own = [
            item
            for item in command.params
            if not getattr(item, "rich_help_panel", None) and item.name != "show_debug" and not item.hidden
        ]
        if own:
            yield from _table(("argument or option", "meaning"), ((_names(item), _meaning(item)) for item in own))
            yield ""
        visible = [item for item in command.params if getattr(item, "rich_help_panel", None) and not item.hidden]
        settings = [f"`{item.opts[0]}`" for item in visible]
        every = len(settings) == len(setting_fields())
        yield f"Settings: {'all of them' if every else ', '.join(settings)}."
        yield from ("", f"Example: `{command.epilog.removeprefix('Example: ')}`")


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command with its whole name, in the order of `digitrec --help`."""
    program: Any = typer.main.get_command(cli)
    for name, command in program.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", item) for inner, item in command.commands.items())
        else:
            yield name, command


def settings() -> Iterator[str]:
    """Every setting, as a flag, a variable and a line of the file."""
    yield from ("# Settings", "")
    yield "A flag (`--settle-s 5`) beats a variable (`DIGITREC_SETTLE_S=5`) beats `digitrec.toml` in the workspace"
    yield "(`settle_s = 5`) beats the default. `digitrec config` prints each value and where it came from. An empty"
    yield "variable counts as not given. The file is UTF-8, with or without byte order mark. A relative `state_dir` or"
    yield "`metrics_file` lies in the workspace."
    yield ""
    rows = (
        (f"`{item.name}`", _default(item.default), _limits(item), item.metadata["help"]) for item in setting_fields()
    )
    yield from _table(("setting", "default", "takes", "meaning"), rows)


def tables() -> Iterator[str]:
    """The columns of every table."""
    yield from ("# Tables", "")
    yield "RFC 4180: comma, CRLF, a header, UTF-8 (with a byte order mark if `csv_profile` is `excel`); rows sorted by"
    yield "path, then page. An empty cell is a missing value. Times are ISO 8601, UTC. Read every column as text,"
    yield 'or "0650" loses its zero: [Excel and pandas](../howto/excel.md).'
    yield ""
    yield "A cell that a spreadsheet would take for a formula has a `'` in front. A number with its sign (`-5`,"
    yield "`+3,14`) and a text that begins with a digit and holds only digits, spaces and `+ - . , / :` have none."
    yield from ("", "## outbox/BATCH.csv", "")
    yield "One row for each page of each file. It is complete when it appears and never changes."
    yield "`outbox/corrected/BATCH.csv` has the same columns."
    yield ""
    yield "`outbox/latest.csv` has them, too. After `run` it holds the rows of all batches that the run published, and"
    yield "of those that it finished for an earlier run; it is written once, at the end of the run. While `watch` works"
    yield "it is a copy of the batch published last. It is replaced whole; of several workers the last one wins."
    yield ""
    yield from _table(("column", "meaning"), ((f"`{name}`", words.COLUMNS[name]) for name in csv_tables.COLUMNS))
    yield from ("", "## outbox/BATCH.numbers.csv", "")
    yield "One row for each number found. A wide gap, a line between cells or a new row ends a number. Batches that"
    yield "version 0.1 recorded have no such table. `outbox/corrected/BATCH.numbers.csv` has the same columns."
    yield ""
    visible = (
        (f"`{name}`", words.NUMBER_COLUMNS.get(name, "As in the main table.")) for name in csv_tables.NUMBER_COLUMNS
    )
    yield from _table(("column", "meaning"), visible)
    yield from ("", "## outbox/BATCH.digits.csv", "")
    yield "One row for each digit found. What `p0` to `p9` lack to 1 is the probability that it is no digit."
    yield ""
    visible = (
        (f"`{name}`", words.DIGIT_COLUMNS.get(name, "As in the main table.")) for name in csv_tables.DIGIT_COLUMNS
    )
    yield from _table(("column", "meaning"), visible)
    yield from ("", "## digitrec export", "")
    yield "The columns of `outbox/BATCH.csv`, and:"
    yield ""
    more = [name for name in EXPORTED if name not in csv_tables.COLUMNS]
    yield from _table(("column", "meaning"), ((f"`{name}`", words.EXPORT_COLUMNS[name]) for name in more))


def codes() -> Iterator[str]:
    """Reason codes and exit codes."""
    yield from ("# Reason codes and exit codes", "", "## Reason codes", "")
    yield "In the column `reason_code`, in `NAME.reason.json` beside a rejected original, and in reports. The list is"
    yield "closed. `digitrec requeue --reason CODE` puts all files with one code back into the inbox."
    for rejects, title in ((False, "Needs review"), (True, "Rejected")):
        yield from ("", f"### {title}", "")
        rows = ((f"`{item}`", item.description, words.FIXES[item]) for item in Reason if item.is_rejection is rejects)
        yield from _table(("code", "meaning", "fix"), rows)
    yield from ("", "## Exit codes", "")
    yield "If several apply: 130 and 143 before 75, 78, 74, 3, 1, 0."
    yield ""
    classes: dict[int, list[type[DigitrecError]]] = {}
    for error in _ERRORS:
        classes.setdefault(error.exit_code, []).append(error)
    rows_ = (
        (str(code), meaning, " ".join(dict.fromkeys(error.hint for error in classes.get(code, ()) if error.hint)))
        for code, meaning in words.EXIT_CODES.items()
    )
    yield from _table(("code", "meaning", "what the program says, unless it knows better"), rows_)
    yield from ("", "[All error messages](../errors.md).")


def metrics() -> Iterator[str]:
    """Describe the metrics."""
    yield from ("# Metrics", "")
    yield "`digitrec status --metrics` prints them, `--metrics-file` has them written:"
    yield "[watching over it](../../jobs/README.md#watching-over-it)."
    yield ""
    yield from _table(
        ("metric", "kind", "meaning"), ((f"`{name}`", kind, text) for name, (kind, text) in METRICS.items())
    )


def hooks() -> Iterator[str]:
    """Describe the input of hooks."""
    yield from ("# Hooks", "")
    yield "Each is a setting that names a command line, which gets the JSON on its standard input."
    yield "[How they are called](../../jobs/README.md#watching-over-it). Always in it:"
    yield ""
    yield from _table(("field", "meaning"), ((f"`{name}`", meaning) for name, meaning in words.COMMON_FIELDS.items()))
    for name, (when, fields) in words.HOOKS.items():
        yield from ("", f"## {name}", "", when, "")
        yield from _table(("field", "meaning"), ((f"`{field}`", meaning) for field, meaning in fields.items()))


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands,
    "settings.md": settings,
    "tables.md": tables,
    "codes.md": codes,
    "metrics.md": metrics,
    "hooks.md": hooks,
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _help(command: Any) -> list[str]:
    """Its docstring: a line each, so that a paragraph stays one."""
    return [line.strip() for line in command.help.strip().splitlines()]


def _usage(command: Any) -> str:
    arguments = [_names(item).strip("`") for item in command.params if item.param_type_name == "argument"]
    return " ".join(["[OPTIONS]", *arguments])


def _names(item: Any) -> str:
    if item.param_type_name == "argument":
        return f"`{item.metavar or (item.name.upper() if item.required else f'[{item.name.upper()}]')}`"
    value = "" if item.is_flag else f" {item.metavar or item.type.name.upper()}"
    return f"`{' / '.join([*item.opts, *item.secondary_opts])}{value}`"


def _meaning(item: Any) -> str:
    choices = getattr(item.type, "choices", ())
    more = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    default = item.default
    has_no_default = (
        item.param_type_name == "argument" or item.is_flag or default in (None, "", ()) or not item.show_default
    )
    needed = " Needed." if item.required and item.param_type_name == "option" else ""
    return f"{item.help}{more}{needed}" + ("" if has_no_default else f" Default: `{default}`.")


def _default(value: object) -> str:
    if value in (None, Path()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _limits(setting: Any) -> str:
    if setting.metadata["choices"]:
        return " or ".join(f"`{item}`" for item in setting.metadata["choices"])
    if setting.metadata["low"] is not None:
        return f"{setting.metadata['low']:,} to {setting.metadata['high']:,}"
    return "`true` or `false`" if isinstance(setting.default, bool) else "text"


if __name__ == "__main__":
    sys.exit(main())
