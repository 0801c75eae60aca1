"""Define every setting: meaning, unit, default and limits; check each value once.

Order: flag, then `DIGITREC_X` variable, then `digitrec.toml` in the workspace, then the default.
"""

import bisect
import difflib
import operator
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from digitrec.errors import SettingsError, describe_error
from digitrec.types import Limits

FILE_NAME = "digitrec.toml"
_PACKAGE = Path(__file__).resolve().parent


def _option(
    default: object,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    short: str = "",
) -> Any:
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "short": short}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one run."""

    workspace: Path = _option(Path(), "Folder that holds inbox/, outbox/ and reports/.")
    worker: str = _option("main", "Name of this worker; several with different names may share one inbox.")
    state_dir: Path | None = _option(None, "Folder of ledgers and trained models, on a local disk. Default: .digitrec/")
    model: str | None = _option(None, "Model: an id or a folder. Default: the promoted one, else the shipped one.")
    max_error: float = _option(0.005, "Target error rate of the accepted answers.", low=0.0001, high=0.5)
    second_opinion: str = _option("auto", "Other reader to ask in doubt.", choices=("auto", "off", "rapidocr"))
    settle_s: float = _option(2.0, "Time without a change after which a file is complete, seconds.", low=0, high=3600)
    scan_interval_s: float = _option(10.0, "`watch` scans the inbox at least this often, seconds.", low=0.5, high=3600)
    empty_wait_s: float = _option(600.0, "Time an empty file has to be filled, seconds.", low=0, high=86400)
    grace_s: float = _option(30.0, "Time an undecodable fresh file has to change, seconds.", low=0, high=86400)
    batch_files: int = _option(512, "Maximum files of one batch.", low=1, high=100_000)
    run_wait_s: float = _option(10.0, "Maximum time that `run` waits for files to settle, seconds.", low=0, high=3600)
    run_retry_s: float = _option(10.0, "Time that `run` retries a failing disk or folder, seconds.", low=0, high=86400)
    max_wait_s: float = _option(
        3600.0, "`status --check` fails if a file has waited longer, seconds.", low=1, high=31_536_000
    )
    max_scan_age_s: float = _option(
        0.0, "`status --check` fails if the last scan is older, seconds; 0 = 3 scan intervals.", low=0, high=31_536_000
    )
    read_timeout_s: float = _option(60.0, "Maximum time to read one page, seconds.", low=1, high=3600)
    max_bytes: int = _option(64_000_000, "Maximum size of a file, bytes.", low=1, high=4_000_000_000)
    max_pixels: int = _option(100_000_000, "Maximum size of a page, pixels.", low=1, high=2_000_000_000)
    max_pages: int = _option(500, "Maximum pages of one file.", low=1, high=100_000)
    csv_profile: str = _option("plain", "CSV format; `excel` adds a byte order mark.", choices=("plain", "excel"))
    labels: Path | None = _option(None, "A file,label CSV with the true values, for accuracy in reports.")
    labels_from_folders: bool = _option(False, "Take the name of a folder, one digit, as the label of its pictures.")
    watch_mode: str = _option("events", "Detect new files by events, or by scans alone.", choices=("events", "scan"))
    engine: str = _option("processes", "Execution of reading.", choices=("serial", "threads", "processes", "dask"))
    scheduler: str | None = _option(None, "Address of the Dask scheduler, for `engine = dask`: tcp://host:8786.")
    source: str | None = _option(None, "`run` reads from this URL, not from the inbox: s3://BUCKET/PREFIX.")
    outbox_url: str | None = _option(None, "URL for the tables of `source`: s3://BUCKET/OTHER.", short="--outbox")
    threads: int = _option(0, "Threads or processes that read; 0 = one per core, at most 8.", low=0, high=256)
    log_format: str = _option("auto", "`auto`: text on a terminal, else JSON lines.", choices=("auto", "text", "json"))
    metrics_file: Path | None = _option(None, "File (`.prom`) for the metrics, written after each pass.")
    on_batch: str | None = _option(None, "Command to run after each batch, with JSON on its standard input.")
    on_reject: str | None = _option(None, "The same, for the rejected files of a batch.")
    on_failure: str | None = _option(None, "The same, when disk, folder or model failed three times in a row.")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for setting in setting_fields():
            _check(setting, getattr(self, setting.name))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.worker):
            worker = _short_repr(self.worker)
            raise SettingsError(f"worker is {worker}; use letters, digits, '-', '_' and '.' (at most 64)")
        if self.engine == "dask" and not self.scheduler:
            raise SettingsError("engine is dask, and no scheduler is named", hint="Add --scheduler tcp://HOST:8786.")
        object.__setattr__(self, "workspace", self.workspace.absolute())
        self._check_folders()

    def _check_folders(self) -> None:
        state = resolve_links(self.state)
        if self.state_dir is not None and (blocking := _find_blocking_file(state)) is not None:
            raise SettingsError(f"state_dir is {self.state_dir}; {blocking} is not a folder", hint=_STATE)
        for name in ("inbox", "outbox", "reports"):
            folder = resolve_links(self.workspace / name)
            if state == folder or folder in state.parents or state in folder.parents:
                raise SettingsError(
                    f"state_dir {state} and {name}/ contain one another", hint="Move state_dir elsewhere."
                )
            if folder == _PACKAGE or _PACKAGE in folder.parents:
                raise SettingsError(f"{name}/ would be inside the program, at {folder}", hint="Use --workspace DIR.")
        if self.metrics is not None and resolve_links(self.inbox) in resolve_links(self.metrics).parents:
            raise SettingsError(f"metrics_file {self.metrics} is in the inbox", hint="Move it elsewhere.")

    @property
    def inbox(self) -> Path:
        """Folder of new pictures."""
        return self.workspace / "inbox"

    @property
    def outbox(self) -> Path:
        """Folder of tables and archived originals."""
        return self.workspace / "outbox"

    @property
    def reports(self) -> Path:
        """Folder of HTML reports."""
        return self.workspace / "reports"

    @property
    def state(self) -> Path:
        """Folder of ledgers and trained models."""
        return self.workspace / (self.state_dir or ".digitrec")

    @property
    def ledger(self) -> Path:
        """Ledger of this worker."""
        return self.state / self.worker / "ledger.sqlite3"

    @property
    def models(self) -> Path:
        """Folder of trained models, with the name of the current one."""
        return self.state / "models"

    @property
    def labels_folder(self) -> Path:
        """Folder with labels.csv files: the inbox, or copies of those in a source."""
        return self.ledger.with_name("labels") if self.source else self.inbox

    def table_location(self, batch_id: str) -> Path | str:
        """Return the file or URL of the table of a batch."""
        name = f"{batch_id}.csv"
        return f"{self.outbox_url.rstrip('/')}/{name}" if self.outbox_url else self.outbox / name

    @property
    def metrics(self) -> Path | None:
        """File of the metrics, if configured."""
        return self.workspace / self.metrics_file if self.metrics_file is not None else None

    @property
    def limits(self) -> Limits:
        """Limits of the files that are opened."""
        return Limits(max_bytes=self.max_bytes, max_pixels=self.max_pixels, max_pages=self.max_pages)

    @classmethod
    def load(cls, workspace: Path | None = None, flags: Mapping[str, object] | None = None) -> Self:
        """Load the settings of a workspace.

        Args:
            workspace: the folder; None means `DIGITREC_WORKSPACE`, else the current folder.
            flags: settings of the command line; None means absent.

        Raises:
            SettingsError: a value is unknown, of the wrong type or outside its limits.
        """
        values: dict[str, object] = {}
        sources: dict[str, str] = {}
        warnings: dict[str, str] = {}

        def merge(new: Mapping[str, object], source: str) -> None:
            for name in sorted(new, key=FORMER_SETTINGS.__contains__, reverse=True):  # present names win over former
                if name in FORMER_SETTINGS:
                    warnings[name] = former_name_warning(name, FORMER_SETTINGS[name], source)
                if present := FORMER_SETTINGS.get(name, name):
                    values[present], sources[present] = new[name], source

        variables = _from_environment()
        chosen = workspace if workspace is not None else variables.get("workspace", Path())
        merge(_from_file(Path(str(chosen)) / FILE_NAME), FILE_NAME)
        merge(variables, "environment")
        merge({name: value for name, value in (flags or {}).items() if value is not None}, "flag")
        if workspace is not None:
            merge({"workspace": workspace}, "flag")
        return cls(**values, sources=sources, warnings=tuple(warnings.values()))  # type: ignore[arg-type]


FORMER_SETTINGS = {"max_look_s": "max_scan_age_s", "on_unhealthy": "on_failure"}
FORMER_SETTINGS |= dict.fromkeys(("network_settle_s", "hook_timeout_s", "metrics_port"), "")
"""Former names of settings, accepted with a warning until 1.0: the present name, or "" for one without effect."""


def former_name_warning(name: str, present: str, source: str) -> str:
    """Return the warning for a former name of a setting or option, spelled as in its source."""

    def spell(key: str) -> str:
        return {"flag": f"--{key.replace('_', '-')}", "environment": f"DIGITREC_{key.upper()}"}.get(source, key)

    change = f"is now {spell(present)}" if present else "has no effect"
    return f"{spell(name)} {change}; the old name is accepted until 1.0"


def setting_fields() -> list[Field[Any]]:
    """Return the fields of Settings that users can set, in order."""
    return [setting for setting in fields(Settings) if setting.metadata]


_STATE = "Name a folder on a local disk; a relative path starts at the workspace."


def resolve_links(path: Path) -> Path:
    """Resolve links; unlike `Path.resolve`, circular links raise no error."""
    return Path(os.path.realpath(path))


def _find_blocking_file(folder: Path) -> Path | None:
    """Return the first existing part of a path if it is not a folder, else None."""
    existing = next(part for part in (folder, *folder.parents) if os.path.lexists(part) or part == part.parent)
    return None if os.path.isdir(existing) else existing  # noqa: PTH112 - a Path raises without permission


def _from_environment() -> dict[str, object]:
    texts = {
        name: os.environ.get(f"DIGITREC_{name.upper()}")
        for name in [*(setting.name for setting in setting_fields()), *FORMER_SETTINGS]
    }
    return {name: _value(name, text, f"DIGITREC_{name.upper()}") for name, text in texts.items() if text}


def _from_file(path: Path) -> dict[str, object]:
    try:
        if path.is_fifo():  # opening a pipe waits for its other end
            raise SettingsError(f"the settings cannot be read: {path} is a pipe")
        table = tomllib.loads(text := path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        blocking = _find_blocking_file(path.parent)
        raise SettingsError(f"the workspace {blocking} is not a folder", hint="Use --workspace DIR.") from None
    except OSError as why:
        raise SettingsError(f"the settings cannot be read: {describe_error(why)}") from why
    except UnicodeDecodeError as why:
        line = why.object.count(b"\n", 0, why.start) + 1
        raise SettingsError(f"{path}, line {line}: this is not UTF-8", hint="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as why:
        hint = 'A value is a number, true or false, or text in quotes: settle_s = 5, worker = "office".'
        raise SettingsError(f"{path} cannot be used: {why}", hint=hint) from why
    except (ValueError, RecursionError) as why:
        line = _line_that_raises(type(why), text)
        raise SettingsError(f"{path}, line {line}: a number is too long, or too many brackets are nested") from None
    allowed = [setting.name for setting in setting_fields() if setting.name != "workspace"]
    if unknown := sorted(set(table) - {*allowed, *FORMER_SETTINGS}):
        near = difflib.get_close_matches(unknown[0], allowed, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It takes: {', '.join(allowed)}."
        names = ", ".join(map(_short_repr, unknown[:_MAX_NAMES]))
        raise SettingsError(f"{path}, line {_line_of(unknown[0], text)}: unknown settings: {names}", hint=hint)
    return {name: _value(name, value, f"{path}, line {_line_of(name, text)}") for name, value in table.items()}


def _line_that_raises(kind: type[Exception], text: str) -> int:
    """Return the line of a TOML error that has no line number: the first whose prefix raises it."""
    lines = text.split("\n")

    def is_reached(count: int) -> bool:
        try:
            tomllib.loads("\n".join(lines[:count]))
        except (ValueError, RecursionError) as why:
            return type(why) is kind
        return False

    return bisect.bisect_left(range(1, len(lines)), True, key=is_reached) + 1


def _line_of(name: str, text: str) -> int:
    """Return the line that sets a key or starts a table of this name; 1 if it is written with escapes."""
    key = re.compile(rf"[\[\s\"']*{re.escape(name)}[\s\"']*[=.\]]")
    return next((number for number, line in enumerate(text.split("\n"), 1) if key.match(line)), 1)


def _value(name: str, value: object, source: str) -> object:
    """Parse and check the value of a setting; an error names the source of the value."""
    if not (name := FORMER_SETTINGS.get(name, name)):
        return value
    setting = next(setting for setting in setting_fields() if setting.name == name)
    try:
        parsed = _parse(setting, value)
        _check(setting, parsed)
    except SettingsError as why:
        raise SettingsError(f"{source}: {why}", hint=why.hint) from None
    return parsed


def _parse(setting: Field[Any], value: object) -> object:
    kind = str(setting.type)
    try:
        if "bool" in kind:
            return value if isinstance(value, bool) else _BOOLEANS[str(value).lower()]
        if "Path" in kind:
            return Path(_text(value)).expanduser()
        if "float" in kind:
            return float(_number(value))
        if "int" in kind:
            return int(value) if isinstance(value, str) else operator.index(_number(value))
        return _text(value)
    except (
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RuntimeError,
    ):  # RuntimeError: expanduser finds no such user
        kind = _TYPES.get(setting.type, "text")
        raise SettingsError(f"{setting.name} is {_short_repr(value)}; that is not a {kind}") from None


_MAX_NAMES, _MAX_CHARS = 5, 80


def _short_repr(value: object) -> str:
    """Return a value on one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to format so many digits
        return "a number of thousands of digits"
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_TYPES: Mapping[Any, str] = {bool: "yes or no", int: "whole number", float: "number", Path: "path", Path | None: "path"}


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return value


def _check(setting: Field[Any], value: object) -> None:
    low, high, choices = (setting.metadata[key] for key in ("low", "high", "choices"))
    if choices and value not in choices:
        raise SettingsError(f"{setting.name} is {_short_repr(value)}; it must be one of {', '.join(choices)}")
    if low is not None and not (isinstance(value, int | float) and low <= value <= high):
        raise SettingsError(f"{setting.name} is {_short_repr(value)}; it must be in {low:g}..{high:g}")
