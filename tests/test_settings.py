"""Settings: precedence of their sources, limits, and error messages with file and line."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from digitrec.errors import SettingsError
from digitrec.settings import Settings, setting_fields


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIGITREC_SECOND_OPINION")


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digitrec.toml").write_text("batch_files = 1\nthreads = 1\nsettle_s = 1\n")
    monkeypatch.setenv("DIGITREC_BATCH_FILES", "2")
    monkeypatch.setenv("DIGITREC_THREADS", "2")

    settings = Settings.load(tmp_path, {"batch_files": 3, "engine": None})

    assert (settings.batch_files, settings.threads, settings.settle_s, settings.grace_s) == (3, 2, 1.0, 30.0)
    assert settings.sources == {
        "batch_files": "flag",
        "threads": "environment",
        "settle_s": "digitrec.toml",
        "workspace": "flag",
    }


def test_the_workspace_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITREC_WORKSPACE", str(tmp_path))
    (tmp_path / "digitrec.toml").write_text("worker = 'office'\n")

    assert Settings.load().inbox == tmp_path / "inbox"
    assert Settings.load().ledger == tmp_path / ".digitrec" / "office" / "ledger.sqlite3"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("batch_files", "0"),
        ("batch_files", "3.5"),
        ("settle_s", "nan"),
        ("settle_s", "soon"),
        ("engine", "warp"),
        ("labels_from_folders", "maybe"),
        ("worker", "../up"),
        ("max_error", "1"),
    ],
)
def test_a_value_outside_its_limits_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    monkeypatch.setenv(f"DIGITREC_{name.upper()}", text)

    with pytest.raises(SettingsError, match=name):
        Settings.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["colour = 'red'", "batch_files = 'many'", "batch_files = 2.5", "= 1", "workspace='x'"]
)
def test_a_settings_file_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "digitrec.toml").write_text(text)

    with pytest.raises(SettingsError):
        Settings.load(tmp_path)


@pytest.mark.parametrize("state_dir", ["inbox", "inbox/state", "."])
def test_the_state_folder_must_not_overlap_a_data_folder(tmp_path: Path, state_dir: str) -> None:
    with pytest.raises(SettingsError, match="state_dir"):
        Settings.load(tmp_path, {"state_dir": Path(state_dir)})


def test_the_metrics_file_must_not_be_in_the_inbox(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is in the inbox"):
        Settings.load(tmp_path, {"metrics_file": Path("inbox/digitrec.prom")})
    assert Settings.load(tmp_path, {"metrics_file": Path("digitrec.prom")}).metrics == tmp_path / "digitrec.prom"


def test_every_setting_has_help_and_an_allowed_default() -> None:
    for setting in setting_fields():
        assert setting.metadata["help"].endswith((".", "/"))
        low, high, default = setting.metadata["low"], setting.metadata["high"], setting.default
        if low is not None:
            assert isinstance(default, int | float)
            assert low <= default <= high


ANY = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""For fixtures shared by all examples, which each example overwrites."""


def load_error(workspace: Path | None) -> str | None:
    """Return the error message for the settings of a workspace; None if they are valid."""
    try:
        Settings.load(workspace)
    except SettingsError as error:
        return str(error)
    return None


@ANY
@given(content=st.binary(max_size=200))
def test_any_bytes_in_the_settings_file_are_settings_or_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digitrec.toml").write_bytes(content)

    message = load_error(tmp_path)

    assert message is None or (str(tmp_path / "digitrec.toml") in message and len(message) < 1000)


LETTERS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.one_of(
        LETTERS.map(lambda text: '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'),
        st.integers(-(2**200), 2**200).map(str),
        st.integers(1, 6000).map(lambda digits: "9" * digits),
        st.integers(1, 6000).map(lambda digits: "0x" + "f" * digits),
        st.floats().map(str),
        st.sampled_from(["true", "false", "-0", "1e400", "inf", "-nan", '"~nobody-here/x"', '"/dev/null"']),
        st.dates().map(str),
        st.times().map(str),
        st.datetimes().map(lambda at: at.isoformat()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        inner.map(lambda item: f"{{x = {item}}}"),
    ),
    max_leaves=5,
)


@ANY
@given(name=st.sampled_from([setting.name for setting in setting_fields()]), value=VALUES)
def test_any_setting_value_is_used_or_refused_with_file_and_line(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "digitrec.toml").write_text(f"# first\n{name} = {value}\n", encoding="utf-8")

    message = load_error(tmp_path)

    assert message is None or (("line 2" in message or name in message) and len(message) < 1000)


ERRORS = [
    (b"settle_s = 5\nworker = 7\n", "line 2: worker is 7; that is not a text"),
    (b"\nsettle_s = -1\n", "line 2: settle_s is -1.0; it must be in 0..3600"),
    (b"settle_s = nan\n", "line 1: settle_s is nan"),
    (b"settle_s = inf\n", "line 1: settle_s is inf"),
    (b"settle_s = 2026-01-31\n", "line 1: settle_s is datetime.date(2026, 1, 31); that is not a number"),
    (b"batch_files = 0x1" + b"0" * 5000 + b"\n", "line 1: batch_files is a number of thousands of digits"),
    (b"grace_s = 1" + b"0" * 400 + b"\n", "line 1: grace_s is 1000"),
    (b"\n\nthreads = " + b"9" * 5000 + b"\n", "line 3: a number is too long"),
    (b"\nthreads = " + b"[" * 100_000 + b"\n", "line 2: a number is too long, or too many brackets are nested"),
    (b'settle_s = 5\nworker = "caf\xe9"\n', "line 2: this is not UTF-8"),
    (b"settle_s = 5\n\0\n", "at line 2"),
    (b"\n\ncolour = 1\n", "line 3: unknown settings: 'colour'"),
    (b"[settle_s]\nx = 1\n", "line 1: settle_s is {'x': 1}; that is not a number"),
    (b'labels = "a\\u0000b"\n', "line 1: labels is 'a\\x00b'; that is not a path"),
    (b'labels = "~nobody-here/x"\n', "line 1: labels is '~nobody-here/x'; that is not a path"),
]


@pytest.mark.parametrize(("content", "expected"), ERRORS, ids=[expected for _, expected in ERRORS])
def test_an_error_in_the_settings_file_has_file_and_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "digitrec.toml").write_bytes(content)

    message = load_error(tmp_path)

    assert message is not None
    assert str(tmp_path / "digitrec.toml") in message
    assert expected in message


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "digitrec.toml").write_bytes(b"\xef\xbb\xbfsettle_s = 5\r\n")

    assert Settings.load(tmp_path).settle_s == 5


VARIABLE = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))


@ANY
@given(name=st.sampled_from([setting.name for setting in setting_fields()]), value=VARIABLE)
def test_any_bytes_in_a_variable_are_a_setting_or_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: bytes
) -> None:
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setitem(os.environb, f"DIGITREC_{name.upper()}".encode(), value)
        message = load_error(None)

    assert message is None or (name in message.lower() and message.isprintable())


def test_an_empty_variable_is_a_setting_that_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in setting_fields():
        monkeypatch.setenv(f"DIGITREC_{setting.name.upper()}", "")

    assert Settings.load(tmp_path).sources == {"workspace": "flag"}


@pytest.mark.parametrize("state_dir", ["/dev/null", "/dev/null/below", "file", "file/below", "loop"])
def test_a_state_dir_that_is_no_folder_is_refused_by_name(tmp_path: Path, state_dir: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(SettingsError, match=f"state_dir is {state_dir}; .* is not a folder"):
        Settings.load(tmp_path, {"state_dir": Path(state_dir)})


def test_a_relative_state_dir_is_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert Settings.load(tmp_path, {"state_dir": Path("state")}).state == tmp_path / "state"


@pytest.mark.parametrize("workspace", ["file", "file/below"])
def test_a_workspace_at_a_file_is_refused_by_name(tmp_path: Path, workspace: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match=f"the workspace {tmp_path}/file is not a folder"):
        Settings.load(tmp_path / workspace)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("labels_from_folders = true\nlabels = 5\n", 2),
        ("labels_from_folders = true\n'labels'=5\n", 2),
        ("# of the office\n\n[office]\nsettle_s = 5\n", 3),
        ("office.settle_s = 5\n", 1),
    ],
)
def test_an_error_has_the_line_of_its_key(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "digitrec.toml").write_text(text)

    with pytest.raises(SettingsError, match=rf"digitrec.toml, line {line}: "):
        Settings.load(tmp_path)


def test_a_former_name_of_a_setting_works_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digitrec.toml").write_text("max_look_s = 900\nnetwork_settle_s = 'any'\n")
    monkeypatch.setenv("DIGITREC_ON_UNHEALTHY", "true")
    monkeypatch.setenv("DIGITREC_HOOK_TIMEOUT_S", "99")

    settings = Settings.load(tmp_path, {"metrics_port": "9393"})

    assert (settings.max_scan_age_s, settings.on_failure) == (900, "true")
    assert settings.sources["on_failure"] == "environment"
    assert sorted(settings.warnings) == [
        "--metrics-port has no effect; the old name is accepted until 1.0",
        "DIGITREC_HOOK_TIMEOUT_S has no effect; the old name is accepted until 1.0",
        "DIGITREC_ON_UNHEALTHY is now DIGITREC_ON_FAILURE; the old name is accepted until 1.0",
        "max_look_s is now max_scan_age_s; the old name is accepted until 1.0",
        "network_settle_s has no effect; the old name is accepted until 1.0",
    ]


def test_a_former_name_in_several_places_gives_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digitrec.toml").write_text("max_look_s = 900\n")
    monkeypatch.setenv("DIGITREC_MAX_LOOK_S", "60")

    settings = Settings.load(tmp_path, {"max_look_s": 5.0})

    assert settings.max_scan_age_s == 5
    assert settings.warnings == ("--max-look-s is now --max-scan-age-s; the old name is accepted until 1.0",)


def test_the_present_name_of_a_setting_wins_over_the_former(tmp_path: Path) -> None:
    (tmp_path / "digitrec.toml").write_text("max_scan_age_s = 5\nmax_look_s = 900\n")

    assert Settings.load(tmp_path).max_scan_age_s == 5


def test_a_bad_value_under_a_former_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digitrec.toml").write_text("\nmax_look_s = -1\n")

    with pytest.raises(SettingsError, match=r"digitrec\.toml, line 2: max_scan_age_s is -1"):
        Settings.load(tmp_path)
