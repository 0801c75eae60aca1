"""Nobody comes in who was not let in, and nothing is taken that was not asked for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from digitrec.review import auth
from digitrec.settings import Settings
from tests.review.conftest import BASE, BATCH, ORIGIN, PORT, Answer, Opens, Pages

ADDRESSES = (
    "/", "/review", "/one", "/grid", "/try", "/api/list", "/api/audit", f"/api/entry/{BATCH}/1",
    f"/picture/whole/{BATCH}/1", "/find?q=7", f"/answer/{BATCH}/1", f"/original/{BATCH}/1", "/export/answers.csv",
    f"/outbox/{BATCH}.csv", f"/outbox/done/{BATCH}/secret.png", "/reports/", "/theme?to=dark", "/api/home",
)  # fmt: skip
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_was_not_let_in_sees_nothing(pages: Pages, address: str) -> None:

    answer = pages.stranger().get(address)

    assert answer.status_code == 403
    assert "secret" not in answer.text


@pytest.mark.parametrize("token", ["", "x" * 43, "../../etc/passwd", "\udcff"])
def test_a_wrong_token_opens_nothing(pages: Pages, token: str) -> None:
    client = pages.stranger()

    answer = client.get("/enter", params={"token": token.encode(errors="surrogateescape")})

    assert (answer.status_code, len(client.cookies)) == (403, 0)


def test_a_link_lets_in_exactly_once(pages: Pages) -> None:
    token = pages.site.sessions.invite("Anna")
    first, second = pages.stranger(), pages.stranger()

    assert first.head("/enter", params={"token": token}).status_code == 405
    entered = first.get("/enter", params={"token": token})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert first.get("/").status_code == 200
    assert second.get("/enter", params={"token": token}).status_code == 403
    assert second.get("/").status_code == 403


def test_the_cookie_is_for_this_server_alone(pages: Pages) -> None:
    entered = pages.stranger().get("/enter", params={"token": pages.site.sessions.invite("Anna")})

    name, _, attributes = entered.headers["set-cookie"].partition("=")

    assert name == f"digitrec_review_{PORT}"
    assert "HttpOnly" in attributes
    assert "SameSite=strict" in attributes
    assert "Domain" not in attributes


def test_a_link_followed_from_another_site_goes_on_from_a_page_of_ours(pages: Pages) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    entered = pages.stranger().get("/enter", params={"token": pages.site.sessions.invite("Anna")}, headers=headers)

    assert entered.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/"' in entered.text


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:8123"])
def test_another_host_name_is_refused(pages: Pages, host: str) -> None:
    person = pages.person()

    assert person.get("/", headers={"Host": host}).status_code == 421


def test_localhost_is_this_server_too(pages: Pages) -> None:
    client = pages.stranger(f"http://localhost:{PORT}")

    assert client.get("/enter", params={"token": pages.site.sessions.invite("Anna")}).status_code == 303
    assert client.get("/").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"http://localhost:{PORT}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": BASE, "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("address", ["/api/judge", "/api/undo", "/api/invite", "/api/try", "/api/upload?name=7.png"])
def test_another_page_cannot_post_even_with_the_cookie(pages: Pages, address: str, headers: dict[str, str]) -> None:
    person = pages.person()

    answer = person.client.post(address, content=b"{}", headers=headers | JSON)

    assert answer.status_code == 403
    assert person.listed()["count"]["open"] == 1


def test_another_page_can_neither_read_nor_show_what_is_here(pages: Pages) -> None:
    person = pages.person()

    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        assert person.get(f"/picture/whole/{BATCH}/1", headers=headers).status_code == 403
    assert person.get("/api/list", headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("address", [*ADDRESSES, "/static/review.css", "/nowhere", "/enter?token=x"])
def test_every_response_has_a_strict_content_security_policy(pages: Pages, address: str) -> None:
    answer = pages.person().get(address)

    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", ["1/../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "0", "-1", "1e3", "9" * 30, "1.png"]
)
@pytest.mark.parametrize("batch", [BATCH, "..", "%2e%2e", "../../done", f"{BATCH}%00", "done"])
def test_a_picture_is_named_by_batch_and_row_and_by_nothing_else(pages: Pages, batch: str, row: str) -> None:
    person = pages.person()

    for address in (f"/picture/whole/{batch}/{row}", f"/api/entry/{batch}/{row}", f"/static/{batch}/{row}"):
        assert person.get(address).status_code in {403, 404}, address


def test_static_files_are_served_from_their_folder_only(pages: Pages) -> None:
    client = pages.stranger()

    assert client.get("/static/review.css").status_code == 200
    for address in (
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
    ):
        assert client.get(address).status_code in {403, 404}, address


def test_a_large_upload_is_refused_before_it_is_read(pages: Pages) -> None:
    person = pages.person()
    read = []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            read.append(1)
            yield bytes(1_000_000)

    response = person.client.post("/api/try", content=b"x", headers=ORIGIN | {"Content-Length": "100000000"})
    assert response.status_code == 413
    untold = person.client.post("/api/try", content=endless(), headers=ORIGIN)
    assert untold.status_code == 413
    assert len(read) <= 65, "64 MB are taken, then it is cut off"


def test_a_huge_json_is_refused(pages: Pages) -> None:
    person = pages.person()

    assert person.post("/api/judge", {"how": "one", "judgements": ["x" * 1_000_000]}).status_code == 413


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"how": "one"}',
        b'{"how": "one", "judgements": {}}',
        b'{"how": "one", "judgements": []}',
        b'{"how": "one", "judgements": [null]}',
        b'{"how": "one", "judgements": [7], "who": "Eve"}',
        b'{"how": "file", "judgements": [7]}',
        b'{"how": ["one"], "judgements": [7]}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_no_judgement_is_refused(pages: Pages, body: bytes) -> None:
    person = pages.person()

    for address in ("/api/judge", "/api/undo", "/api/invite"):
        assert person.client.post(address, content=body, headers=ORIGIN | JSON).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 7},
        {"batch": "../x"},
        {"row": "1"},
        {"row": True},
        {"row": 1.0},
        {"row": 10**30},
        {"row": -1},
        {"seen": -1},
        {"seen": 10**30},
        {"new": 7},
        {"new": ""},
        {"new": "7a"},
        {"new": "٧"},
        {"new": "7" * 20_001},
        {"new": "<b>"},
        {"extra": 1},
    ],
    ids=lambda wrong: json.dumps(wrong)[:30],
)
def test_a_judgement_of_wrong_types_is_refused_and_nothing_is_kept(pages: Pages, wrong: dict[str, object]) -> None:
    person = pages.person()
    judgement = {"batch": BATCH, "row": 1, "new": "7", "seen": 0} | wrong

    answer = person.post("/api/judge", {"how": "one", "judgements": [judgement]})

    assert answer.status_code == 400
    assert answer.json()["problem"]
    assert person.listed()["count"] == {"open": 1, "unsure": 0, "resolved": 0}


def test_only_json_is_taken_where_json_is_meant(pages: Pages) -> None:
    person = pages.person()
    form = {"Content-Type": "text/plain"}  # what a form of another site could send

    answer = person.client.post("/api/judge", content=b"{}", headers=ORIGIN | form)

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "query", ["status=x", "state=x", "text=x", "text=%D9%A7", "batch=..", "after=x", "after=nan,x,1", "after=inf,,"]
)
def test_a_list_that_makes_no_sense_is_refused(pages: Pages, query: str) -> None:
    assert pages.person().get(f"/api/list?{query}").status_code == 400


def test_a_link_to_pages_that_are_gone_says_what_to_do(pages: Pages) -> None:
    answer = pages.stranger().get("/")

    assert "digitrec review" in answer.text


def test_a_second_person_is_invited_by_name(opened: Opens) -> None:
    pages = opened([Answer()])
    link = pages.person("Anna").post("/api/invite", {"who": "Ben"}).json()["link"]
    client = pages.stranger()

    assert link.startswith(f"{BASE}/enter?token=")
    assert client.get(link).status_code == 303
    assert ">Ben</span>" in client.get("/").text
    assert pages.person().post("/api/invite", {"who": " "}).status_code == 400


def test_settings_say_how_large_an_upload_may_be(opened: Opens, tmp_path: Path) -> None:
    pages = opened([Answer()], settings=Settings(workspace=tmp_path, engine="serial", max_bytes=1000))

    assert pages.person().client.post("/api/try", content=bytes(1001), headers=ORIGIN).status_code == 413


def test_the_oldest_session_ends_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_MAX_SESSIONS", 3)
    sessions = auth.Sessions(owner="Anna")

    cookies = [sessions.enter(sessions.token) for _ in range(4)]

    assert [sessions.find(cookie) is not None for cookie in cookies if cookie] == [False, True, True, True]
