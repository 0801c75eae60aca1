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
    state_dir: Path | None = _option(None, "Where ledger and trained models lie (local disk). Default: .digitrec/")
    model: str | None = _option(None, "Model: an id or a folder. Default: the promoted one, else the shipped one.")
    max_error: float = _option(0.005, "Share of wrong answers allowed among the accepted.", low=0.0001, high=0.5)
    settle_s: float = _option(2.0, "A file unchanged for this long is complete, seconds.", low=0, high=3600)
    scan_interval_s: float = _option(10.0, "`watch` scans the inbox at least this often, seconds.", low=0.5, high=3600)
    empty_wait_s: float = _option(600.0, "An empty file may still be filled for this long, seconds.", low=0, high=86400)
    grace_s: float = _option(
        30.0, "A fresh file that cannot be decoded gets this long to change, seconds.", low=0, high=86400
    )
    batch_files: int = _option(512, "Most files in one batch.", low=1, high=100_000)
    run_wait_s: float = _option(10.0, "`run` waits at most this long for files to settle, seconds.", low=0, high=3600)
    run_retry_s: float = _option(10.0, "`run` retries a failing disk or folder this long, seconds.", low=0, high=86400)
    max_wait_s: float = _option(
        3600.0, "`status --check` fails if a file has waited longer than this, seconds.", low=1, high=31_536_000
    )
    max_scan_age_s: float = _option(
        0.0, "`status --check` fails if the last scan is older, seconds; 0 = 3 scan intervals.", low=0, high=31_536_000
    )
    read_timeout_s: float = _option(60.0, "Longest the reading of one page may take, seconds.", low=1, high=3600)
    max_bytes: int = _option(64_000_000, "Largest file read, bytes.", low=1, high=4_000_000_000)
    max_pixels: int = _option(100_000_000, "Largest page read, pixels.", low=1, high=2_000_000_000)
    max_pages: int = _option(500, "Most pages of one file.", low=1, high=100_000)
    csv_profile: str = _option("plain", "`excel` puts a byte order mark first.", choices=("plain", "excel"))
    labels: Path | None = _option(None, "A file,label CSV with the truth, for accuracy in reports.")
    labels_from_folders: bool = _option(False, "A folder named by one digit is the truth of its pictures.")
    watch_mode: str = _option("events", "`scan` works without file system events.", choices=("events", "scan"))
    engine: str = _option("processes", "How reading is spread.", choices=("serial", "threads", "processes", "dask"))
    scheduler: str | None = _option(None, "Address of the Dask scheduler, for `engine = dask`: tcp://host:8786.")
    source: str | None = _option(None, "`run` reads the pictures below this URL, not the inbox: s3://BUCKET/PREFIX.")
    outbox_url: str | None = _option(
        None, "The tables of `source` go below this URL (`--outbox`): s3://BUCKET/OTHER.", short="--outbox"
    )
    threads: int = _option(0, "Threads or processes that read; 0 = one a core, at most 8.", low=0, high=256)
    log_format: str = _option("auto", "`auto`: text on a terminal, else JSON lines.", choices=("auto", "text", "json"))
    metrics_file: Path | None = _option(None, "Prometheus' text format is written here after each pass (`.prom`).")
    on_batch: str | None = _option(None, "Command that is called after each batch, with JSON on its standard input.")
    on_reject: str | None = _option(None, "The same, for the rejected files of a batch.")
    on_failure: str | None = _option(None, "The same, when disk, folder or model failed three times in a row.")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for setting in setting_fields():
            _check(setting, getattr(self, setting.name))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", self.worker):
            raise SettingsError(f"worker is {_shown(self.worker)}; use letters, digits, '-', '_' and '.' (at most 64)")
        if self.engine == "dask" and not self.scheduler:
            raise SettingsError("engine is dask, and no scheduler is named", hint="Add --scheduler tcp://HOST:8786.")
        object.__setattr__(self, "workspace", self.workspace.absolute())
        self._check_folders()

    def _check_folders(self) -> None:
        state = resolve_links(self.state)
        if self.state_dir is not None and (blocking := _file_on_the_way(state)) is not None:
            raise SettingsError(f"state_dir is {self.state_dir}; {blocking} is not a folder", hint=_STATE)
        for name in ("inbox", "outbox", "reports"):
            folder = resolve_links(self.workspace / name)
            if state == folder or folder in state.parents or state in folder.parents:
                raise SettingsError(
                    f"state_dir {state} and {name}/ lie in one another", hint="Move state_dir elsewhere."
                )
            if folder == _PACKAGE or _PACKAGE in folder.parents:
                raise SettingsError(f"{name}/ would lie inside the program, at {folder}", hint="Use --workspace DIR.")
        if self.metrics is not None and resolve_links(self.inbox) in resolve_links(self.metrics).parents:
            raise SettingsError(f"metrics_file {self.metrics} lies in the inbox", hint="Move it elsewhere.")

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
        """Gather the settings of a workspace.

        Args:
            workspace: the folder; None takes `DIGITREC_WORKSPACE`, else the current folder.
            flags: settings given on the command line; None values are not given.

        Raises:
            SettingsError: a value is unknown, of the wrong type or outside its limits.
        """
        values: dict[str, object] = {}
        sources: dict[str, str] = {}

        warnings: list[str] = []

        def put(given: Mapping[str, object], source: str) -> None:
            for name in sorted(
                given, key=FORMER_SETTINGS.__contains__, reverse=True
            ):  # a present name wins over a former one
                if name in FORMER_SETTINGS:
                    warnings.append(former_name_warning(name, FORMER_SETTINGS[name], source))
                if present := FORMER_SETTINGS.get(name, name):
                    values[present], sources[present] = given[name], source

        variables = _from_environment()
        chosen = workspace if workspace is not None else variables.get("workspace", Path())
        put(_from_file(Path(str(chosen)) / FILE_NAME), FILE_NAME)
        put(variables, "environment")
        put({name: value for name, value in (flags or {}).items() if value is not None}, "flag")
        if workspace is not None:
            put({"workspace": workspace}, "flag")
        return cls(**values, sources=sources, warnings=tuple(warnings))  # type: ignore[arg-type]


FORMER_SETTINGS = {"max_look_s": "max_scan_age_s", "on_unhealthy": "on_failure"}
FORMER_SETTINGS |= dict.fromkeys(("network_settle_s", "hook_timeout_s", "metrics_port"), "")
"""Former names of settings, accepted with a warning until 1.0: the present name, or "" for one without effect."""


def former_name_warning(name: str, present: str, source: str) -> str:
    """Return what to say of a former name of a setting or option, written as in its source."""

    def written(key: str) -> str:
        return {"flag": f"--{key.replace('_', '-')}", "environment": f"DIGITREC_{key.upper()}"}.get(source, key)

    change = f"is now {written(present)}" if present else "has no effect"
    return f"{written(name)} {change}; the old name is accepted until 1.0"


def setting_fields() -> list[Field[Any]]:
    """Return the fields of Settings that a person can set, in order."""
    return [setting for setting in fields(Settings) if setting.metadata]


_STATE = "Name a folder on a local disk; a relative one lies in the workspace."


def resolve_links(path: Path) -> Path:
    """Resolve links; unlike `Path.resolve`, links in a circle are no error here."""
    return Path(os.path.realpath(path))


def _file_on_the_way(folder: Path) -> Path | None:
    """Return the first existing part of a path if it is no folder."""
    existing = next(part for part in (folder, *folder.parents) if os.path.lexists(part) or part == part.parent)
    return None if os.path.isdir(existing) else existing  # noqa: PTH112 - a Path raises where it may not look


def _from_environment() -> dict[str, object]:
    given = {
        name: os.environ.get(f"DIGITREC_{name.upper()}")
        for name in [*(setting.name for setting in setting_fields()), *FORMER_SETTINGS]
    }
    return {name: _value(name, text, f"DIGITREC_{name.upper()}") for name, text in given.items() if text}


def _from_file(path: Path) -> dict[str, object]:
    try:
        if path.is_fifo():  # to open one waits for the other end
            raise SettingsError(f"the settings cannot be read: {path} is a pipe")
        table = tomllib.loads(text := path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        blocking = _file_on_the_way(path.parent)
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
        shown = ", ".join(map(_shown, unknown[:_MOST_SHOWN]))
        raise SettingsError(f"{path}, line {_line_of(unknown[0], text)}: unknown settings: {shown}", hint=hint)
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
    """Return a value as the setting takes it, checked; an error names where the value comes from."""
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
    except (ValueError, KeyError, TypeError, OverflowError, RuntimeError):  # the last of expanduser: no such user
        raise SettingsError(
            f"{setting.name} is {_shown(value)}; that is not a {_WORDS.get(setting.type, 'text')}"
        ) from None


_MOST_SHOWN, _MOST_LETTERS = 5, 80


def _shown(value: object) -> str:
    """Return a value on one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write numbers of so many digits
        return "a number of thousands of digits"
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_WORDS: Mapping[Any, str] = {bool: "yes or no", int: "whole number", float: "number", Path: "path", Path | None: "path"}


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
        raise SettingsError(f"{setting.name} is {_shown(value)}; it is one of {', '.join(choices)}")
    if low is not None and not (isinstance(value, int | float) and low <= value <= high):
        raise SettingsError(f"{setting.name} is {_shown(value)}; it lies in {low:g}..{high:g}")
