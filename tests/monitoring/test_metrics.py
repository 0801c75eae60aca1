"""Metrics in the text format of Prometheus."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from digitrec.app.run import run_once
from digitrec.monitoring import metrics
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.settings import Settings
from digitrec.storage import migrations
from digitrec.storage.corrections import ILLEGIBLE, ReviewMethod
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from tests.conftest import RunCommand, ServiceHarness
from tests.correction_helpers import open_test_ledger, say_numbers
from tests.older_ledgers import make_older
from tests.storage.test_number_corrections import TABLE

Numbers = dict[tuple[str, frozenset[str]], float]


def parsed(text: str) -> Numbers:
    """Parse with Prometheus' own parser; values by name and label values."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(harness: ServiceHarness) -> Numbers:
    return parsed(metrics.format_samples(metrics.collect_samples(harness.settings, harness.now_s)))


def key(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return (f"digitrec_{name}", frozenset(labels))


def test_files_and_batches_are_counted_by_outcome(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.drop("noise.png", b"no picture")
    harness.run()
    harness.now_s += 60
    harness.drop("later/8.png")

    values = of(harness)

    assert values[key("files_total", "main", "accepted")] + values[key("files_total", "main", "review")] == 1
    assert values[key("files_total", "main", "rejected")] == 1
    assert values[key("files_total", "main", "deferred")] == 0
    assert values[key("batches_total", "main")] == values[key("batch_seconds_count", "main")] == 1
    assert values[key("batches_open", "main")] == 0
    assert values[key("files_waiting")] == 1
    assert values[key("ledger_readable", "main")] == values[key("inbox_readable")] == 1
    assert values[key("free_bytes", "outbox")] > 0


def test_open_reviews_and_corrections_are_counted(harness: ServiceHarness) -> None:
    harness.drop("2.png")
    harness.run()
    with contextlib.closing(Ledger.open(harness.settings.ledger)) as ledger:
        (batch,) = ledger.batches()
        ledger.query("UPDATE readings SET status = 'review', reason = 'low_confidence'")
        assert of(harness)[key("review_open", "main")] == 1
        judgements = [Judgement(batch.id, 1, "2", 0)]
        (correction,) = record_judgements(
            ledger, judgements, reviewer="ann", method=ReviewMethod.ONE, reviewed_at="2026-01-02T03:04:05.000Z"
        )

    values = of(harness)

    assert values[key("review_open", "main")] == 0
    assert values[key("corrections_total", "main", correction.verdict)] == 1
    assert sum(value for (name, _), value in values.items() if name == "digitrec_corrections_total") == 1


def test_verdicts_are_counted_by_page(tmp_path: Path) -> None:
    with contextlib.closing(open_test_ledger(tmp_path, [TABLE])) as ledger:
        say_numbers(ledger, 1, n2="31")
        say_numbers(ledger, 1, n4=ILLEGIBLE)

    values = {
        (sample.metric, sample.labels.get("verdict")): sample.value
        for sample in metrics.collect_samples(Settings(workspace=tmp_path), 1_800_000_000.0)
    }

    counts = {verdict: value for (name, verdict), value in values.items() if name == "digitrec_corrections_total"}
    assert counts == {"confirmed": 0, "corrected": 0, "unsure": 0, "withdrawn": 0, "illegible": 1}
    assert values["digitrec_review_open", None] == 0


def test_the_queue_age_is_the_longest_waiting_time(harness: ServiceHarness) -> None:
    harness.now_s = time.time()
    assert of(harness)[key("queue_age_seconds")] == 0
    harness.drop("7.png")
    harness.now_s += 1000

    assert of(harness)[key("queue_age_seconds")] == pytest.approx(1000, abs=5)


def test_a_worker_reports_its_last_scan_model_and_stage_times(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    writer = HeartbeatWriter(harness.settings, now_s=lambda: harness.now_s)
    with writer.time_stage("read"):
        pass
    with writer.time_stage("read"):
        pass
    writer.set_reading("cnn-1")
    writer.set_scanned()
    harness.now_s += 20

    values = of(harness)

    assert values[key("last_scan_timestamp_seconds", "main")] == harness.now_s - 20
    assert values[key("model_info", "main", "cnn-1")] == 1
    assert values[key("worker_running", "main")] == 1
    assert values[key("worker_failing", "main")] == 0
    assert values[key("stage_seconds_count", "main", "read")] == 2
    writer.set_failing("the disk is full")
    assert of(harness)[key("worker_failing", "main")] == 1
    assert HeartbeatWriter(harness.settings)._last.stages["read"][0] == 2  # a new process continues the count


def test_drift_is_taken_from_the_last_trend_report(harness: ServiceHarness) -> None:
    folder = harness.settings.reports / "trend"
    folder.mkdir(parents=True)
    drift = {"confidence": {"psi": 0.25}, "digits": {"psi": None}}
    older = {"model_id": "older", "drift": {"confidence": {"psi": 3.0}}}
    (folder / "report.json").write_text(json.dumps({"models": [{"model_id": "cnn-1", "drift": drift}, older]}))

    values = of(harness)

    assert {name: value for name, value in values.items() if name[0] == "digitrec_drift_psi"} == {
        key("drift_psi", "confidence", "cnn-1"): 0.25
    }
    (folder / "report.json").write_text("{}")
    assert not any(name == "digitrec_drift_psi" for name, _ in of(harness))


def test_an_unreadable_ledger_is_reported_and_hides_no_other_metric(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    for log in harness.settings.ledger.parent.glob("ledger.sqlite3-*"):
        log.unlink()
    harness.settings.ledger.write_bytes(b"this is no database, and long enough to look like a page" * 100)
    harness.drop("8.png")

    values = of(harness)

    assert values[key("ledger_readable", "main")] == 0
    assert key("files_total", "main", "accepted") not in values
    assert values[key("files_waiting")] == 1


@pytest.mark.parametrize("version", range(1, migrations.VERSION))
def test_a_ledger_of_any_older_version_can_be_counted(harness: ServiceHarness, version: int) -> None:
    harness.drop("7.png")
    harness.run()
    make_older(harness.settings.ledger, version)

    assert of(harness)[key("batches_total", "main")] == 1


def test_metric_names_follow_the_prometheus_conventions() -> None:
    for name, (kind, words) in metrics.METRICS.items():
        assert name.startswith("digitrec_")
        assert words.endswith(".")
        assert name.endswith("_total") is (kind == "counter"), name


def test_names_that_would_break_the_format_are_quoted() -> None:
    odd = 'a "quoted" \\ name\nof two lines'
    text = metrics.format_samples([metrics.Sample("digitrec_model_info", 1, {"model_id": odd})])

    assert parsed(text) == {key("model_info", odd): 1}


def test_the_command_prints_the_content_of_the_metrics_file(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.drop("7.png")
    harness.run()
    harness.set(metrics_file=Path("digitrec.prom"))
    metrics.MetricsFile(harness.settings).write()

    result = run_command("status", "--metrics")

    assert result.code == 0
    assert parsed(result.out).keys() == parsed((harness.root / "digitrec.prom").read_text()).keys()


def test_an_empty_run_writes_its_metrics_and_without_the_setting_none(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    path = tmp_path / "digitrec.prom"

    run_once(Settings(workspace=tmp_path, run_wait_s=0))
    assert not path.exists()
    run_once(Settings(workspace=tmp_path, run_wait_s=0, metrics_file=path))

    assert parsed(path.read_text())[key("last_scan_timestamp_seconds", "main")] == pytest.approx(time.time(), abs=60)


def test_a_failed_metrics_write_is_logged_once_and_stops_nothing(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.set(metrics_file=harness.root / "nowhere" / "digitrec.prom")
    file = metrics.MetricsFile(harness.settings)

    file.write(at_once=True)
    file.write(at_once=True)

    assert [record.message for record in caplog.records] == ["metrics cannot be written; work continues"]


def test_a_recently_written_metrics_file_is_not_written_again(harness: ServiceHarness) -> None:
    harness.set(metrics_file=harness.root / "digitrec.prom")
    file = metrics.MetricsFile(harness.settings)
    file.write()
    (harness.root / "digitrec.prom").unlink()

    file.write()
    assert not (harness.root / "digitrec.prom").exists()
    file.write(at_once=True)
    assert (harness.root / "digitrec.prom").exists()


def test_an_exception_while_metrics_are_gathered_stops_nothing(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("file")

    monkeypatch.setattr(metrics, "collect_samples", fails)
    harness.set(metrics_file=harness.root / "digitrec.prom")

    metrics.MetricsFile(harness.settings).write()

    assert set(caplog.messages) == {"metrics cannot be collected; work continues"}
    assert not (harness.root / "digitrec.prom").exists()
