"""Labels files of any bytes are parsed as far as possible, with a warning, and stop nothing."""

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from digitrec.errors import UsageError
from digitrec.monitoring.doctor import run_checks
from digitrec.monitoring.folder_checks import Severity
from digitrec.monitoring.status import ModelStatus
from digitrec.pipeline import scanner
from digitrec.pipeline.labels import LabelLookup, is_labels_file
from digitrec.pipeline.ledgers import open_ledgers
from tests.conftest import ServiceHarness, draw


def labels(folder: Path, content: bytes) -> LabelLookup:
    (folder / "labels.csv").write_bytes(content)
    return LabelLookup(folder)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("content", "label", "warned"),
    [
        ("file,label\na.png,fünf\n".encode(), "fünf", []),
        ("\ufefffile,label\na.png,fünf\n".encode(), "fünf", []),
        ("file,label\r\na.png,fünf\r\n".encode("cp1252"), "fünf", ["labels are not UTF-8, read as Windows-1252"]),
        (b"\xef\xbb\xbffile,label\na.png,f\xfcnf\n", "fünf", ["labels are not UTF-8, read as Windows-1252"]),
        (b"file,label\na.png,\x80\x81\n", "€\udc81", ["labels are not UTF-8, read as Windows-1252"]),
        (b"file,label,remark\na.png,7,a scan\nb.png,8\n", "7", []),
        (b'"file","label","one, two"\n"a.png","7","x\ny"\n', "7", []),
        (b"file,label\n\0,1\na.png,7\0\n", "7\0", []),
        (b"file,label\ra.png,7\rb.png,8\r", "7", []),
        (b"file;label;more\r\na.png;7;a,b\r\n", "7", []),
        (b"file\tlabel\na.png\t7;8\n", "7;8", []),
        (b"file,label\na.png,7\n" + b'"' + b"x" * 200_000, "7", ["labels after this line cannot be parsed"]),
    ],
)
def test_a_label_is_read_in_whatever_encoding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, label: str, warned: list[str]
) -> None:
    lookup = labels(tmp_path, content)

    assert lookup.find("a.png") == label
    assert lookup.find("z.png") == ""
    assert warnings(caplog) == warned
    assert is_labels_file(tmp_path / "labels.csv")


def test_an_undefined_byte_becomes_percent_xx(harness: ServiceHarness) -> None:
    harness.drop("a.png")
    harness.drop("b.png", draw(3))
    harness.drop("labels.csv", b"file,label\na.png,f\x81nf\nb.png,100%\n")

    harness.run()

    assert {row["file"]: row["label"] for row in harness.rows()} == {"a.png": "f%81nf", "b.png": "100%25"}
    assert harness.account().discrepancies == ()
    for path in harness.settings.ledger.parent.glob("ledger.sqlite3*"):
        path.unlink()
    harness.run()
    assert harness.account().discrepancies == (), "a rebuilt ledger has the same content"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "is_used"), [(40_000, True), (40_001, False), (130_000, False)])
def test_a_label_is_as_long_as_a_table_can_be_read_again(harness: ServiceHarness, size: int, is_used: bool) -> None:
    harness.set(batch_files=1)
    harness.drop("a.png")
    harness.drop("labels.csv", b"file,label\na.png," + b"\x01" * size + b"\n")

    harness.run()

    (row,) = harness.rows()
    assert row["label"] == ("%01" * size if is_used else "")
    for path in harness.settings.ledger.parent.glob("ledger.sqlite3*"):
        path.unlink()
    harness.run()
    assert harness.account().discrepancies == (), "a rebuilt ledger has the same content"


def test_a_name_matches_as_its_bytes_are_or_decoded(tmp_path: Path) -> None:
    lookup = labels(tmp_path, "file,label\nä.png,1\nö.png,2\n".encode("cp1252") + b"\xc3\xbc.png,3\n")

    assert lookup.find(os.fsdecode(b"\xe4.png")) == "1"
    assert lookup.find("ö.png") == "2"
    assert lookup.find("ü.png") == "3", "these bytes are the name, whatever the rest is"
    assert lookup.find("Ã¼.png") == "3"


def test_labels_in_windows_1252_are_archived_with_the_last_picture(harness: ServiceHarness) -> None:
    harness.drop("ä.png")
    harness.drop(os.fsdecode(b"\xf6.png"), draw(3))
    harness.drop("labels.csv", "file,label\nä.png,fünf\nö.png,3\n".encode("cp1252"))

    harness.run()

    assert sorted(row["label"] for row in harness.rows()) == ["3", "fünf"]
    assert not (harness.inbox / "labels.csv").exists()
    assert harness.account().discrepancies == ()


@pytest.mark.slow
@pytest.mark.parametrize("order", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["file,label\r\na.png,7\r\n", '"file","label"\n"a.png","7"\n', "file\tlabel\n"])
def test_utf_16_is_named_not_used_and_no_picture(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture, order: str, text: str
) -> None:
    harness.drop("a.png")
    harness.drop("labels.csv", text.encode(order))

    harness.run()

    assert [(row["file"], row["label"]) for row in harness.rows()] == [("a.png", "")]
    assert "labels in UTF-16 are not used, save the file as UTF-8" in warnings(caplog)
    assert (harness.inbox / "labels.csv").exists()


def test_a_warning_comes_once_for_a_file(harness: ServiceHarness, caplog: pytest.LogCaptureFixture) -> None:
    warned: set[str] = set()
    harness.drop("labels.csv", "file,label\na.png,fünf\n".encode("cp1252"))

    for _ in range(3):
        assert LabelLookup(harness.inbox, warned=warned).find("a.png") == "fünf"

    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"f\0i\0l\0e\0,\0l\0a\0b\0e\0l\0", "is UTF-16"),
        (b"\xff\xfe\0", "no labels file"),
        (b"name,x\n", "no labels file"),
    ],
)
def test_a_given_labels_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=words):
        LabelLookup(tmp_path, path)


def test_a_given_folder_or_missing_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: it is no regular file"):
        LabelLookup(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        LabelLookup(tmp_path, tmp_path / "x.csv")


def test_a_given_labels_file_in_windows_1252_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("file,label,more\nä.png,fünf,\n".encode("cp1252"))

    assert LabelLookup(tmp_path, path).find("ä.png") == "fünf"
    assert warnings(caplog) == ["labels are not UTF-8, read as Windows-1252"]


def test_folders_and_pipes_named_labels_csv_leave_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "labels.csv").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "labels.csv")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        assert [LabelLookup(tmp_path).find(f"{folder}/1.png") for folder in "ab"] == ["", ""]

    assert len(os.listdir("/proc/self/fd")) == before


def test_doctor_sees_what_the_service_sees(harness: ServiceHarness) -> None:
    harness.run()
    harness.drop("a/labels.csv", "file,label\na.png,fünf\n".encode("cp1252"))
    harness.drop("b/labels.csv", "file,label\na.png,7\n".encode("utf-16"))
    harness.drop("c/labels.csv", b"file,label\na.png,7\n" + b'"' + b"x" * 200_000)
    harness.drop("d/labels.csv", b"file,label\na.png,7\n")
    harness.drop("@eaDir/labels.csv", b"file,label\na.png,\xfc\n")
    harness.set(labels=harness.root / "missing.csv")

    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        looked = list(run_checks(harness.settings, ledgers, ModelStatus("test"), 1_767_323_045.0))

    checks = [
        (check.severity, check.detail.removeprefix(f"{harness.inbox}/")[:30])
        for check in looked
        if check.subject == "labels"
    ]
    assert sorted(checks) == sorted(
        [
            (Severity.FAILED, f"{harness.root}/missing.csv does not exist"[:30]),
            (Severity.WARNING, "a/labels.csv is not UTF-8, and"),
            (Severity.FAILED, "b/labels.csv is UTF-16; none o"),
            (Severity.WARNING, "c/labels.csv cannot be parsed "),
        ]
    )


def written(rows: list[tuple[bytes, bytes, bytes]]) -> bytes:
    """Return a labels file with these cells, quoted as Excel does."""
    text = io.StringIO()
    csv.writer(text).writerows([["file", "label", "more"], *([cell.decode("latin-1") for cell in row] for row in rows)])
    return text.getvalue().encode("latin-1")


def any_labels() -> st.SearchStrategy[bytes]:
    cells = st.binary(max_size=12) | st.sampled_from(
        [b"a.png", b"7", b"none", "fünf".encode("cp1252"), b"../a.png", b"/a"]
    )
    tables = st.lists(st.tuples(cells, cells, cells), max_size=6).map(written)
    headed = st.binary(max_size=200).map(b"file,label\n".__add__)
    other = st.sampled_from(["utf-16", "utf-16-le", "utf-8-sig"]).flatmap(
        lambda encoding: st.text(max_size=40).map(
            lambda text: f"file,label\na.png,{text}\n".encode(encoding, "surrogatepass")
        )
    )
    return st.binary(max_size=200) | headed | tables | other


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=any_labels())
@example(content=b"")
@example(content=b"file,label\n\0,\0\n")
@example(content=b'file,label\n"')
def test_labels_of_any_bytes_are_looked_up_without_an_error(tmp_path: Path, content: bytes) -> None:
    lookup = labels(tmp_path, content)

    label = lookup.find("a.png")

    label.encode(errors="surrogateescape")
    assert label == label.strip()
    assert [file.path for file in scanner.scan(tmp_path, lambda *_: None)] == (
        [] if is_labels_file(tmp_path / "labels.csv") else ["labels.csv"]
    )
    for names in lookup.listed_files("."):
        assert all("\0" not in name for name in names)
