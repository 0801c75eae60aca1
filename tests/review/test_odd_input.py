"""Whatever a request holds, the answer is a status below 500 with a plain message, and nothing is kept of it."""

import csv
import io
import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitrec.app import reports
from digitrec.exchange import export
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.review.conftest import BATCH, ORIGIN, Answer, Opens, Pages, Person

JSON = ORIGIN | {"Content-Type": "application/json"}
HUGE = 10**5000
DEEP = "[" * 3000 + "]" * 3000
ODD = [
    '"x\\ud800"', '"\\udcff"', '"\\u0000"', '"7\\u0000"', "null", "true", "-1", "1e999", "NaN", "1.5", "9" * 5000,
    str(2**63), str(2**64), "[]", "{}", '[["x"]]', '{"\\ud800": 1}', DEEP, '"' + "x" * 2000 + '"', '"\\u202e"',
]  # fmt: skip
FIELDS = {
    "/api/invite": ('{"who": %s}', ["who"]),
    "/api/judge": (
        '{"how": %s, "judgements": [{"batch": %s, "row": %s, "new": %s, "seen": %s}]}',
        ["how", "batch", "row", "new", "seen"],
    ),
    "/api/undo": ('{"entries": [{"batch": %s, "row": %s, "seen": %s}]}', ["batch", "row", "seen"]),
}
GOOD = {"who": '"Ben"', "how": '"one"', "batch": json.dumps(BATCH), "row": "1", "new": '"7"', "seen": "0"}
RIGHT = {("new", "null"), ("who", '"\\u202e"')}
"""Not sure, and a name that is shown escaped."""


def posted(person: Person, address: str, content: str) -> Any:
    answer = person.client.post(address, content=content.encode(), headers=JSON)
    assert answer.headers["content-type"] == "application/json", answer.text
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
@pytest.mark.parametrize(("address", "field"), [(address, field) for address in FIELDS for field in FIELDS[address][1]])
def test_an_odd_value_in_any_field_is_refused_in_plain_words(pages: Pages, address: str, field: str, odd: str) -> None:
    if (field, odd) in RIGHT:
        return
    person = pages.person()
    form, fields = FIELDS[address]

    answer = posted(person, address, form % tuple(odd if key == field else GOOD[key] for key in fields))

    assert answer.status_code == 400, answer.text
    assert answer.json()["problem"]
    assert person.listed()["count"] == {"open": 1, "unsure": 0, "resolved": 0}


@pytest.mark.slow
@pytest.mark.parametrize("address", FIELDS)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
def test_an_odd_body_is_refused_in_plain_words(pages: Pages, address: str, odd: str) -> None:
    for content in (odd, f'{{"entries": {odd}}}', f'{{"how": "one", "judgements": {odd}}}', f'{{"x": {odd}}}'):
        answer = posted(pages.person(), address, content)

        assert (answer.status_code, bool(answer.json()["problem"])) == (400, True)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    address=st.sampled_from(list(FIELDS)),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*GOOD, "entries", "judgements"]) | st.text(max_size=3), inner, max_size=5
            )
        ),
        max_leaves=20,
    ),
)
def test_no_json_whatever_makes_a_server_error(pages: Pages, address: str, body: object) -> None:
    answer = posted(pages.person(), address, json.dumps(body))

    assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    "address",
    [
        f"/api/entry/{BATCH}/{'9' * 5000}", f"/picture/whole/{BATCH}/{'9' * 5000}", f"/picture/whole/{BATCH}/%00",
        f"/api/entry/{BATCH}%ED%A0%80/1", f"/api/entry/{BATCH}/%D9%A1", "/picture/%ED%A0%80/x/1",
    ],
    ids=lambda address: address[:40],
)  # fmt: skip
def test_an_odd_address_names_nothing(pages: Pages, address: str) -> None:
    assert pages.person().get(address).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["%00", "%ED%A0%80", "%25ED%25A0%2580", "%25%30%30", "9" * 5000, "%FF", "-1", "1e999"]
)
@pytest.mark.parametrize("name", ["status", "state", "text", "batch", "file", "after", "most", "q"])
@pytest.mark.parametrize("path", ["/api/list", "/api/numbers", "/api/audit", "/one", "/grid", "/find"])
def test_an_odd_query_is_no_server_error(pages: Pages, path: str, name: str, value: str) -> None:
    assert pages.person().get(f"{path}?digit=1&{name}={value}").status_code in {200, 400}


def test_an_endless_length_of_a_body_is_refused(pages: Pages) -> None:
    answer = pages.person().client.post("/api/try", content=b"x", headers=ORIGIN | {"Content-Length": "9" * 5000})

    assert answer.status_code == 413


def test_a_name_is_escaped_once_wherever_it_is_shown(opened: Opens) -> None:
    escaped = "=A%0A%1Bnn%25"
    pages = opened([Answer("7", 0.6), Answer("7", 0.5, reason=Reason.NOT_A_DIGIT)])
    link = pages.person().post("/api/invite", {"who": "=A\n\x1bnn%"}).json()["link"]
    client = pages.stranger()
    assert client.get(link).status_code == 303
    person = Person(client)

    person.judge((1, "1"), (2, "none"))

    assert f">{escaped}</span>" in person.get("/").text, "page"
    assert person.get(f"/api/entry/{BATCH}/1").json()["said"]["who"] == escaped, "page"
    stream = io.BytesIO()
    with open_ledgers(pages.settings) as ledgers:
        export.export(pages.settings, ledgers, TableFormat.CSV, stream)
    table = list(csv.DictReader(io.StringIO(stream.getvalue().decode())))
    assert [line["corrected_by"] for line in table] == [f"'{escaped}"] * 2, "CSV, where it is no formula"
    with closing(Ledger.open_shared(pages.settings.ledger)) as ledger:
        reports.report_batch(pages.settings, ledger, BATCH)
    html = (pages.settings.reports / BATCH / "index.html").read_text(encoding="utf-8")
    assert f"<bdi>{escaped}</bdi>" in html, "report"
