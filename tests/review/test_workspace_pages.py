"""Reports, tables, originals, metrics and reading for programs: what is served, to whom, and nothing beside it."""

import gc
import json
import os
import stat
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest

from digitrec.app import review
from digitrec.app.reports import report_batch
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review import pages as page_rendering
from digitrec.review.auth import read_token
from digitrec.settings import Settings
from digitrec.types import Reason
from tests.conftest import draw, in_folder
from tests.review.conftest import BASE, BATCH, ORIGIN, Answer, Opens, Pages
from tests.review.test_numbers import TABLE

SECRET = "the secret of another folder"


@pytest.fixture
def pages(opened: Opens) -> Pages:
    pages = opened([Answer("7", 0.6, "a b/#1?.png"), Answer("3", 0.99, "plain.png")])
    with open_ledgers(pages.settings) as ledgers:
        report_batch(pages.settings, ledgers["main"], BATCH)
    return pages


# Reports.


def test_a_report_is_served_under_the_bar_with_links_to_its_batch(pages: Pages) -> None:
    report = (pages.settings.reports / BATCH / "index.html").read_text(encoding="utf-8")
    answer = pages.person().get(f"/reports/{BATCH}/index.html")

    assert answer.status_code == 200
    for address in ("/", "/reports/", "/review", "/try", f"/outbox/{BATCH}.csv", f"/find?batch={BATCH}"):
        assert f'href="{address}"' in answer.text
        assert f'href="{address}"' not in report, "the file itself stays as it is"
    assert f"batch={BATCH}" in answer.text
    assert answer.text.index("<body>") < answer.text.index('class="bar') < answer.text.index("<main>")
    assert ">Anna</span>" in answer.text


def test_a_report_may_run_no_script_and_ask_no_other_server(pages: Pages) -> None:
    answer = pages.person().get(f"/reports/{BATCH}/")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "Content-Security-Policy" not in answer.text, "the policy of the file would forbid the bar"
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("theme", "media", "scheme"),
    [("", "(prefers-color-scheme: dark)", "light dark"), ("dark", "all", "dark"), ("light", "not all", "light")],
)
def test_the_theme_holds_for_pages_and_reports(pages: Pages, theme: str, media: str, scheme: str) -> None:
    person = pages.person()
    if theme:
        chosen = person.get(f"/theme?to={theme}&next=/find%3Fq%3D7")
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/find?q=7")

    assert f'href="/static/dark.css" media="{media}"' in person.get("/").text
    report = person.get(f"/reports/{BATCH}/").text
    assert f"@media {media} " in report
    assert f"color-scheme: {scheme};" in report
    assert f'<meta name="color-scheme" content="{scheme}">' in report


@pytest.mark.parametrize(
    "address", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/%0D%0AX: 1", ""]
)
def test_the_theme_switch_leads_to_no_other_server(pages: Pages, address: str) -> None:
    answer = pages.person().get("/theme", params={"to": "dark", "next": address})

    assert answer.headers["location"] in {"/", "/%0D%0AX:%201"}
    assert page_rendering.local_path("/%0D") == "/%0D"


def test_an_unknown_theme_is_not_stored(pages: Pages) -> None:
    assert "set-cookie" not in pages.person().get("/theme?to=%22%3E%3Cscript%3E").headers


def test_without_reports_the_page_says_so(opened: Opens) -> None:
    answer = opened([Answer()]).person().get("/reports/")

    assert answer.status_code == 200
    assert "no report yet" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "../digitrec.toml", "%2e%2e/outbox/secret.csv", "..%2Foutbox%2Fsecret.csv", "/etc/passwd", "link/secret.json",
        "link.html", ".hidden/index.html", "report.py", "folder.html/", "%00.html", "fifo.html",
    ],
)  # fmt: skip
def test_only_files_of_reports_are_served(pages: Pages, tmp_path: Path, path: str) -> None:
    settings = pages.settings
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("secret.json", "index.html"):
        (elsewhere / name).write_text(SECRET)
    (settings.outbox / "secret.csv").write_text(SECRET)
    (settings.workspace / "digitrec.toml").write_text(f"# {SECRET}")
    (settings.reports / "link").symlink_to(elsewhere)
    (settings.reports / "link.html").symlink_to(elsewhere / "index.html")
    (settings.reports / ".hidden").mkdir()
    (settings.reports / ".hidden" / "index.html").write_text(SECRET)
    (settings.reports / "report.py").write_text(SECRET)
    (settings.reports / "folder.html").mkdir()
    os.mkfifo(settings.reports / "fifo.html")

    answer = pages.person().get(f"/reports/{path}")

    assert answer.status_code in {404, 400}
    assert SECRET not in answer.text


# Tables and originals.


def test_tables_are_downloads_and_nothing_else_in_the_outbox_is(pages: Pages) -> None:
    outbox, person = pages.settings.outbox, pages.person()
    for name in (f"{BATCH}.csv", f"{BATCH}.numbers.csv", "latest.csv", "notes.csv", f"{BATCH}.other.csv"):
        (outbox / name).write_text("text\r\n0650\r\n")
    (outbox / f"{BATCH}.digits.csv").symlink_to(outbox / "notes.csv")

    for name in (f"{BATCH}.csv", f"{BATCH}.numbers.csv", "latest.csv"):
        answer = person.get(f"/outbox/{name}")
        assert (answer.status_code, answer.content) == (200, b"text\r\n0650\r\n")
        assert answer.headers["content-disposition"].startswith("attachment")
    for name in ("notes.csv", f"{BATCH}.other.csv", f"{BATCH}.digits.csv", ".digitrec-folder", "..%2Fdigitrec.toml"):
        assert person.get(f"/outbox/{name}").status_code == 404, name


def test_the_corrected_table_of_a_batch_is_a_download(pages: Pages) -> None:
    person = pages.person()
    assert person.get(f"/outbox/corrected/{BATCH}.csv").status_code == 404
    assert "Corrected CSV" not in person.get(f"/reports/{BATCH}/").text
    person.judge((1, "1"))

    answer = person.get(f"/outbox/corrected/{BATCH}.csv")

    assert answer.status_code == 200
    assert b",corrected," in answer.content
    assert f"corrected-{BATCH}.csv" in answer.headers["content-disposition"]
    assert "Corrected CSV" in person.get(f"/reports/{BATCH}/").text


@pytest.mark.parametrize(
    ("name", "start"), [("answers.csv", b"schema_version"), ("answers.xlsx", b"PK"), ("tables.xlsx", b"PK")]
)
def test_all_answers_can_be_downloaded_with_corrections(pages: Pages, name: str, start: bytes) -> None:
    pages.person().judge((1, "1"))

    answer = pages.person().get(f"/export/{name}")

    assert answer.status_code == 200
    assert answer.content.startswith(start)
    assert f"UTF-8''{name}" in answer.headers["content-disposition"]
    if name == "answers.csv":
        assert answer.content.count(b",corrected,") == 1
        assert pages.person().get("/export/answers.csv?batch=nowhere").status_code == 400
    assert pages.person().get("/export/tables.csv").status_code == 404


def test_an_export_of_tables_without_numbers_is_refused_in_words(opened: Opens) -> None:
    pages = opened([Answer("", None, "blank.png", Reason.BLANK, draw(7))])

    answer = pages.person().get("/export/tables.xlsx")

    assert answer.status_code == 400
    assert "no page has a number to export" in answer.text


def test_an_export_leaves_no_workbook_in_memory(pages: Pages) -> None:
    from openpyxl import Workbook

    gc.collect()
    gc.disable()
    try:
        answer = pages.person().get("/export/answers.xlsx")
        count = sum(isinstance(value, Workbook) for value in gc.get_objects())
    finally:
        gc.enable()

    assert (answer.status_code, count) == (200, 0)


def test_an_original_is_found_by_its_place_and_downloaded_under_its_name(pages: Pages) -> None:
    person = pages.person()

    led = person.get(f"/outbox/done/{BATCH}/a%20b/%231%3F.png")
    assert (led.status_code, led.headers["location"]) == (303, f"/answer/{BATCH}/1")
    original = person.get(f"/original/{BATCH}/1")
    assert original.content == draw(7, shift=1)
    assert original.headers["content-disposition"] == "attachment; filename*=UTF-8''%231%3F.png"
    assert original.headers["content-type"] == "application/octet-stream"
    assert person.get(f"/outbox/done/{BATCH}/nowhere.png").status_code == 404
    assert person.get(f"/outbox/inbox/{BATCH}/plain.png").status_code == 404


def test_a_report_links_originals_as_a_file_and_on_the_server(pages: Pages) -> None:
    address = f"../../outbox/done/{BATCH}/a%20b/%231%3F.png"
    report = (pages.settings.reports / BATCH / "index.html").read_text(encoding="utf-8")

    assert f'href="{address}"' in report
    assert (pages.settings.reports / BATCH / unquote(address)).resolve().read_bytes() == draw(7, shift=1)
    led = pages.person().get(urljoin(f"/reports/{BATCH}/index.html", address))
    assert led.headers["location"] == f"/answer/{BATCH}/1"


def test_a_report_links_no_rejected_file_which_may_be_anything(opened: Opens) -> None:
    pages = opened([Answer("", None, "page.html", reason=Reason.NOT_AN_IMAGE, content=b"<script>alert(1)</script>")])
    with open_ledgers(pages.settings) as ledgers:
        report_batch(pages.settings, ledgers["main"], BATCH)

    report = (pages.settings.reports / BATCH / "index.html").read_text(encoding="utf-8")

    assert "page.html" in report
    assert "rejected/" + BATCH + "/page.html" not in report


def test_a_corrected_answer_shows_who_said_what_and_no_confidence(opened: Opens) -> None:
    pages = opened([Answer("7", 0.6), TABLE])
    person = pages.person()
    assert "Needs review, confidence 60.0" in person.get(f"/answer/{BATCH}/1").text
    person.judge((1, "1"))
    body = {"how": "one", "judgements": [{"batch": BATCH, "row": 2, "new": "31", "seen": 0, "number": 2}]}
    assert person.post("/api/judge", body).status_code == 200

    single, table = (person.get(f"/answer/{BATCH}/{row}").text for row in (1, 2))

    assert '<p class="reads">1</p>' in single
    assert "Corrected by Anna" in single
    assert "Read as 7: Needs review: the confidence is too low" in single
    assert '<p class="reads">3 numbers</p>' in table
    assert "<td><b>31</b></td><td></td><td>corrected</td>" in table
    assert table.count('class="doubt"') == 1, "of the number that nobody has judged"


def test_an_original_that_was_replaced_is_not_shown(pages: Pages) -> None:
    (pages.settings.outbox / "done" / BATCH / "plain.png").write_bytes(draw(1))

    answer = pages.person().get(f"/original/{BATCH}/2")

    assert answer.status_code == 404
    assert "another file has the name" in answer.text


# Programs.


def test_metrics_need_no_token_and_hold_counts_only(pages: Pages) -> None:
    stranger = pages.stranger()

    answer = stranger.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'digitrec_files_total{status="review",worker="main"} 1.0' in answer.text
    assert "plain" not in answer.text
    assert "7" not in {line.rpartition(" ")[2] for line in answer.text.splitlines() if "text" in line}
    assert stranger.get("/metrics", headers={"Host": "evil.example"}).status_code == 421
    cross = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert stranger.get("/metrics", headers=cross).status_code == 403


def bearer(pages: Pages) -> dict[str, str]:
    return {"Authorization": f"Bearer {pages.site.sessions.token}"}


@pytest.mark.slow
def test_a_program_gets_the_json_of_predict(pages: Pages, tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(draw(7))
    printed = json.loads(in_folder(tmp_path, "predict", "--json", "7.png").stdout)

    answer = pages.stranger().post("/api/read", content=draw(7), headers=bearer(pages))

    assert answer.status_code == 200
    changing = {"received_at": None, "processed_at": None, "file": None}
    assert [page | changing for page in answer.json()] == [page | changing for page in printed]
    assert answer.json()[0]["text"] == "7"
    rejected = pages.stranger().post("/api/read", content=b"no picture", headers=bearer(pages))
    assert (rejected.status_code, rejected.json()[0]["reason_code"]) == (200, "not_an_image")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic eDp5"},
        {"Cookie": "x=y"},
    ],
)
def test_a_program_without_the_token_gets_nothing(pages: Pages, headers: dict[str, str]) -> None:
    answer = pages.stranger().post("/api/read", content=draw(7), headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_page_of_another_site_cannot_use_the_token(pages: Pages, headers: dict[str, str]) -> None:
    answer = pages.stranger().post("/api/read", content=draw(7), headers=bearer(pages) | headers)

    assert answer.status_code == 403
    assert pages.person().client.post("/api/read", content=draw(7), headers=ORIGIN).status_code == 401


def test_a_program_sends_at_most_max_bytes(opened: Opens, tmp_path: Path) -> None:
    pages = opened([Answer()], settings=Settings(workspace=tmp_path, engine="serial", max_bytes=1000))

    assert pages.stranger().post("/api/read", content=bytes(1001), headers=bearer(pages)).status_code == 413
    assert pages.stranger().get("/api/read", headers=bearer(pages)).status_code == 405


# The access token.


def test_the_access_token_signs_in_any_number_of_times(pages: Pages) -> None:
    form = ORIGIN | {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        client = pages.stranger()
        content = f"token={pages.site.sessions.token}"
        entered = client.post("/enter", content=content, headers=form)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert client.get("/").status_code == 200
    assert pages.stranger().post("/enter", content="token=x", headers=form).status_code == 403
    assert (
        pages.stranger().post("/enter", content=content, headers={"Origin": "https://evil.example"}).status_code == 403
    )
    assert pages.stranger().post("/enter", content="x" * 5000, headers=form).status_code == 413
    assert 'name="token"' in pages.stranger().get("/").text


def test_the_access_token_is_in_a_file_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "access-token"

    token = read_token(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token(path) == token
    assert len(token) >= 32
    path.write_text("\n")
    assert read_token(path) not in {"", token}, "empty after a power cut"


def test_the_review_opens_at_its_page(tmp_path: Path, opened: Opens) -> None:
    pages = opened([Answer()])
    site = review.build_site(pages.settings, pages.site.sessions, 8123, start="/review")

    entered = Pages(pages.settings, site).stranger(BASE).get("/enter", params={"token": site.sessions.invite("Anna")})

    assert entered.headers["location"] == "/review"
