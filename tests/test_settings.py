"""Flag before variable before file before default; every value checked once, with a way out."""

from pathlib import Path

import pytest

from digitrec.errors import SettingsError
from digitrec.settings import Settings, default_of, knobs


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
    (tmp_path / "digitrec.toml").write_text("worker = 'desk'\n")

    assert Settings.load().inbox == tmp_path / "inbox"
    assert Settings.load().ledger == tmp_path / ".digitrec" / "desk" / "ledger.sqlite3"


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
def test_the_state_may_not_lie_in_a_data_folder_nor_around_one(tmp_path: Path, state_dir: str) -> None:
    with pytest.raises(SettingsError, match="state_dir"):
        Settings.load(tmp_path, {"state_dir": Path(state_dir)})


def test_what_monitoring_reads_may_not_lie_in_the_inbox(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lies in the inbox"):
        Settings.load(tmp_path, {"metrics_file": Path("inbox/digitrec.prom")})
    assert Settings.load(tmp_path, {"metrics_file": Path("digitrec.prom")}).metrics == tmp_path / "digitrec.prom"


def test_every_knob_says_what_it_is_and_its_default_is_allowed() -> None:
    for knob in knobs():
        assert knob.metadata["help"].endswith((".", "/"))
        low, high, default = knob.metadata["low"], knob.metadata["high"], default_of(knob)
        if low is not None:
            assert isinstance(default, int | float)
            assert low <= default <= high
