"""`digitrec report`: all reports rebuilt from the ledgers, with corrections applied."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from digitrec.app import reports
from digitrec.cli.main import cli
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import judgements
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import ReviewMethod, read_latest
from digitrec.storage.judgements import Judgement
from digitrec.storage.ledger import Ledger
from jobs import nightly_report
from tests.conftest import ServiceHarness, draw

pytestmark = pytest.mark.slow  # matplotlib

AT = "2026-01-03T08:00:00.000Z"


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Return a workspace with ten digits read in two batches."""
    harness.set(batch_files=5)
    for digit in range(10):
        harness.drop(f"{digit}.png", draw(digit))
    harness.run()
    return harness


def batches(harness: ServiceHarness) -> list[str]:
    return [path.stem for path in harness.tables()]


def judge(harness: ServiceHarness, new: str, how: ReviewMethod) -> str:
    """Record a verdict on row 1 of the batch that begins with 0.png; return the batch id."""
    batch_id = next(row["batch_id"] for row in harness.rows() if row["file"] == "0.png")
    ledger = Ledger.open_shared(harness.settings.ledger)
    judgements.record_judgements(ledger, [Judgement(batch_id, 1, new, 0)], reviewer="ann", method=how, reviewed_at=AT)
    write_corrected_table(harness.outbox, ledger, batch_id)
    ledger.close()
    return batch_id


def report_of(harness: ServiceHarness, name: str) -> Any:
    return json.loads((harness.settings.reports / name / "report.json").read_text())


def test_only_the_report_command_writes_the_trend_and_links_it(read: ServiceHarness) -> None:
    assert not (read.settings.reports / "trend").exists()

    with open_ledgers(read.settings) as ledgers:
        page, made = reports.write_all_reports(read.settings, ledgers)

    assert made == 2
    assert 'href="trend/index.html"' in page.read_text()
    assert report_of(read, "trend")["all"]["files"] == 10


def test_rebuilt_reports_contain_the_corrections(read: ServiceHarness) -> None:
    batch_id = judge(read, "8", ReviewMethod.AUDIT)

    with open_ledgers(read.settings) as ledgers:
        reports.write_all_reports(read.settings, ledgers)

    reviewed = report_of(read, batch_id)["reviewed"]
    assert (reviewed["corrected"], reviewed["audit"]["hits"], reviewed["audit"]["of"]) == (1, 1, 1)
    (model,) = report_of(read, "trend")["models"]
    assert (model["all"]["audit"]["hits"], model["all"]["audit"]["of"]) == (1, 1)
    page = (read.settings.reports / batch_id / "index.html").read_text()
    assert f"../../outbox/corrected/{batch_id}.csv" in page
    assert (read.outbox / "corrected" / f"{batch_id}.csv").is_file()


def test_corrections_without_an_audit_give_no_estimate(read: ServiceHarness) -> None:
    batch_id = judge(read, "8", ReviewMethod.GRID)

    with open_ledgers(read.settings) as ledgers:
        reports.write_all_reports(read.settings, ledgers)

    reviewed = report_of(read, batch_id)["reviewed"]
    assert (reviewed["audit"], reviewed["accepted_corrected"]) == (None, 1)


def test_an_audited_answer_stays_in_the_sample_when_it_is_judged_again(read: ServiceHarness) -> None:
    batch_id = judge(read, "8", ReviewMethod.AUDIT)
    ledger = Ledger.open_shared(read.settings.ledger)
    ((_, correction),) = read_latest(ledger, batch_id).items()
    judgements.record_judgements(
        ledger, [Judgement(batch_id, 1, "0", correction.id)], reviewer="bob", method=ReviewMethod.ONE, reviewed_at=AT
    )
    ledger.close()

    with open_ledgers(read.settings) as ledgers:
        reports.write_all_reports(read.settings, ledgers)

    audit = report_of(read, batch_id)["reviewed"]["audit"]
    assert (audit["hits"], audit["of"]) == (0, 1)


def test_the_command_rebuilds_all_reports_or_those_of_one_batch(read: ServiceHarness) -> None:
    all_reports = CliRunner().invoke(cli, ["report", "--workspace", str(read.root)])
    (read.settings.reports / "trend" / "index.html").unlink()
    single = CliRunner().invoke(cli, ["report", "--workspace", str(read.root), "--batch", batches(read)[0]])

    assert (all_reports.exit_code, all_reports.stdout.split()[:3]) == (0, ["2", "reports", "made."])
    assert (single.exit_code, single.stdout.split()[:3]) == (0, ["1", "report", "made."])
    assert not (read.settings.reports / "trend" / "index.html").exists()


def test_the_nightly_job_writes_the_trend(read: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITREC_WORKSPACE", str(read.root))

    assert nightly_report.main() == 0

    assert Path(read.settings.reports / "trend" / "index.html").is_file()
