"""Files are put into the inbox whole, once, under a free name; whatever else is sent leaves nothing there."""

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import httpx
import pytest

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import scanner
from digitrec.review.uploads import PARAMS, InboxUploads, UploadRefused, clean_name
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from digitrec.types import Limits
from tests.conftest import draw
from tests.review import browser
from tests.review.conftest import ORIGIN, Answer, Opens, Pages

SEVEN = draw(7)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def pages(opened: Opens, inbox: Path) -> Pages:
    return opened([Answer()])


def upload(pages: Pages, name: str, content: Any = SEVEN, **headers: str) -> httpx.Response:
    return pages.person().client.post(f"/api/upload?name={name}", content=content, headers=ORIGIN | headers)


def names(inbox: Path) -> list[str]:
    return sorted(os.listdir(inbox))


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def store(uploads: InboxUploads, name: str, *parts: bytes, size: int | None = None) -> str:
    return asyncio.run(uploads.store(name, chunks(*parts), size))


def into(inbox: Path, **options: Any) -> InboxUploads:
    return InboxUploads(inbox, Limits(max_bytes=100_000), lambda: None, **options)


def test_a_file_is_in_the_inbox_with_its_bytes_and_can_be_claimed(pages: Pages, inbox: Path) -> None:
    answer = upload(pages, "scan%207.png")

    assert (answer.status_code, answer.json()) == (201, {"file": "scan 7.png"})
    assert (inbox / "scan 7.png").read_bytes() == SEVEN
    assert [file.path for file in scanner.scan(inbox, lambda *_: None)] == ["scan 7.png"]


def test_a_taken_name_gets_a_number_and_nothing_is_replaced(pages: Pages, inbox: Path) -> None:
    (inbox / "7.png").write_bytes(b"mine")
    (inbox / "7~2.png").mkdir()

    assert upload(pages, "7.png").json() == {"file": "7~3.png"}
    assert (inbox / "7.png").read_bytes() == b"mine"
    assert names(inbox) == ["7.png", "7~2.png", "7~3.png"]


@pytest.mark.parametrize(
    "name", ["../../7.png", "/etc/7.png", "..%2F..%2F7.png", "C:%5Cscans%5C7.png", "%2e%2e%5c7.png", "a/b/c/7.png"]
)
def test_only_the_last_component_of_a_path_counts(pages: Pages, inbox: Path, name: str) -> None:
    before = {path for path in inbox.parent.rglob("*") if inbox not in path.parents}

    assert upload(pages, name).json() == {"file": "7.png"}
    assert names(inbox) == ["7.png"]
    after = {path for path in inbox.parent.rglob("*") if inbox not in path.parents}
    assert {path for path in after - before if "sqlite3-" not in path.name} == set()


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "a/", "x%00.png", ".hidden.png", "7.png.part", "7.PNG.PART", "Thumbs.db", "7.png~", "~$7.png",
        "._7.png", "7.crdownload", ".upload-0123456789abcdef.part", ".digitrec-folder", "%ff" * 300 + ".png",
    ],
)  # fmt: skip
def test_a_name_that_is_never_claimed_is_refused(pages: Pages, inbox: Path, name: str) -> None:
    answer = upload(pages, name)

    assert answer.status_code == 400
    assert answer.json()["problem"]
    assert names(inbox) == []


def test_a_name_in_any_bytes_stays_as_it_is(pages: Pages, inbox: Path) -> None:
    assert upload(pages, "%FF%0A%3Cb%3E+x.png").json() == {"file": "%FF%0A<b> x.png"}
    assert os.listdir(os.fsencode(inbox)) == [b"\xff\n<b> x.png"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"file,label\r\n7.png,7\r\n", b"<html><script>alert(1)</script>", b"PK\x03\x04" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x7fELF" + bytes(100), b"GIF8", bytes(10_000),
        b"\x00\x00\x01\x00" + bytes(50),
    ],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
def test_content_that_is_no_picture_is_refused_whatever_its_name(pages: Pages, inbox: Path, content: bytes) -> None:
    answer = upload(pages, "7.png", content, **{"Content-Type": "image/png"})

    assert answer.status_code == 415
    assert names(inbox) == []


def test_a_file_that_is_too_large_is_refused_before_and_while_it_arrives(opened: Opens, inbox: Path) -> None:
    pages = opened([Answer()], settings=Settings(workspace=inbox.parent, engine="serial", max_bytes=10_000))
    taken = []

    async def endless() -> AsyncIterator[bytes]:
        yield SEVEN[:50]
        for _ in range(1000):
            taken.append(1)
            yield bytes(1000)

    assert upload(pages, "7.png", SEVEN + bytes(10_000)).status_code == 413
    assert upload(pages, "7.png", b"x", **{"Content-Length": "9" * 5000}).status_code == 413
    assert upload(pages, "7.png", endless()).status_code == 413
    assert len(taken) < 20
    assert names(inbox) == []


@pytest.mark.parametrize("free", [0, 999_999_999, 1_000_000_000])
def test_with_less_than_a_gigabyte_free_nothing_is_taken(inbox: Path, free: int) -> None:
    with pytest.raises(UploadRefused, match="1 GB") as refused:
        store(into(inbox, free_bytes=lambda _: free), "7.png", SEVEN, size=len(SEVEN))

    assert refused.value.status == 507
    assert names(inbox) == []


def test_a_disk_that_fills_up_meanwhile_ends_the_upload(inbox: Path) -> None:
    left = iter([2_000_000_000, 1_000_050_000, 1_000_000_010])
    uploads = into(inbox, free_bytes=lambda _: next(left), params=replace(PARAMS, write_bytes=5000))

    with pytest.raises(UploadRefused, match="1 GB"):
        store(uploads, "7.png", SEVEN + bytes(5000), bytes(20_000))

    assert names(inbox) == []


def test_a_full_disk_is_reported_and_leaves_nothing(inbox: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield SEVEN
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UploadRefused, match="is full") as refused:
        asyncio.run(into(inbox).store("7.png", failing(), None))

    assert refused.value.status == 507
    assert names(inbox) == []


def test_an_upload_that_stalls_is_given_up(inbox: Path) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield SEVEN
        await asyncio.sleep(60)

    uploads = into(inbox, params=replace(PARAMS, stall_s=0.05))
    with pytest.raises(UploadRefused) as refused:
        asyncio.run(uploads.store("7.png", stalling(), None))

    assert refused.value.status == 408
    assert names(inbox) == []


def test_a_source_that_fails_leaves_nothing(inbox: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield SEVEN
        raise ConnectionResetError("gone")

    with pytest.raises(EnvironmentFailure, match="gone"):
        asyncio.run(into(inbox).store("7.png", failing(), None))

    assert names(inbox) == []


def test_a_cancelled_upload_leaves_nothing(inbox: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield SEVEN
        await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(into(inbox).store("7.png", endless(), None))
        while not names(inbox):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert names(inbox) == []


def test_an_empty_folder_in_place_of_the_inbox_is_no_inbox(pages: Pages, inbox: Path) -> None:
    with closing(Ledger.open(pages.settings.ledger)) as ledger:
        ledger.set_meta("inbox_id", "1" * 32)

    answer = upload(pages, "7.png")

    assert answer.status_code == 503
    assert "marker" in answer.json()["problem"]
    assert names(inbox) == []
    inbox.rmdir()
    assert upload(pages, "7.png").status_code == 503
    assert not inbox.exists(), "it is not made either"


def test_only_its_own_old_temporary_files_are_removed(inbox: Path) -> None:
    own, young = inbox / ".upload-0123456789abcdef.part", inbox / ".upload-0123456789abcde0.part"
    others = [
        ".upload-x.part",
        ".0123456789abcdef.part",
        "upload-0123456789abcdef.part",
        ".upload-0123456789abcdef.png",
    ]
    for name in (own.name, *others):
        (inbox / name).write_bytes(b"x")
    link = inbox / ".upload-0123456789abcdee.part"
    link.symlink_to(own)

    store(into(inbox, params=replace(PARAMS, dead_after_s=0.0)), "1.png", SEVEN)
    young.write_bytes(b"x")
    store(into(inbox), "2.png", SEVEN)

    assert PARAMS.dead_after_s == 86_400
    assert names(inbox) == sorted([*others, young.name, link.name, "1.png", "2.png"])


def test_the_scanner_claims_no_upload_that_is_not_complete(inbox: Path) -> None:
    for name in (".upload-0123456789abcdef.part", ".upload-0123456789abcdef", ".upload-x.png"):
        (inbox / name).write_bytes(SEVEN)

    assert list(scanner.scan(inbox, lambda *_: None)) == []


@pytest.mark.parametrize("name", ["ü" * 127 + "x", "x" * 255])
def test_the_longest_names_are_accepted(inbox: Path, name: str) -> None:
    assert store(into(inbox), name, SEVEN) == name
    second = store(into(inbox), name, SEVEN)
    assert len(os.fsencode(second)) <= 255
    assert names(inbox) == sorted([name, second])


def test_a_file_arrives_in_any_pieces(inbox: Path) -> None:
    content = SEVEN + bytes(range(256)) * 40
    uploads = into(inbox, params=replace(PARAMS, write_bytes=700, head_bytes=300))

    store(uploads, "bytes.png", *(content[i : i + 1] for i in range(len(content))))

    assert (inbox / "bytes.png").read_bytes() == content


@pytest.mark.slow
def test_two_thousand_uploads_of_one_name_are_two_thousand_files(pages: Pages, inbox: Path) -> None:
    client = pages.person().client
    app = pages.site.app()

    async def send_all() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN["Origin"], cookies=client.cookies) as sender:
            sends = [
                sender.post("/api/upload?name=scan.png", content=SEVEN + number.to_bytes(2, "big"), headers=ORIGIN)
                for number in range(2000)
            ]
            return [answer.status_code for answer in await asyncio.gather(*sends)]

    assert set(asyncio.run(send_all())) == {201}
    stored = names(inbox)
    assert stored == sorted(["scan.png", *(files.numbered_name("scan.png", number) for number in range(2, 2001))])
    assert {(inbox / name).read_bytes()[-2:] for name in stored} == {n.to_bytes(2, "big") for n in range(2000)}


@pytest.fixture
def address(pages: Pages) -> Iterator[str]:
    with browser.served(pages.settings.workspace) as address:
        yield address


@pytest.mark.slow
def test_an_aborted_connection_leaves_nothing(address: str, inbox: Path) -> None:
    opener = build_opener(HTTPCookieProcessor(cookies := CookieJar()))
    opener.open(address, timeout=20).close()
    (cookie,) = cookies
    host = address.split("/")[2]
    head = (
        f"POST /api/upload?name=cut.png HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        f"Cookie: {cookie.name}={cookie.value}\r\nContent-Length: 2000000\r\n\r\n"
    ).encode()
    with socket.create_connection((host.split(":")[0], int(host.split(":")[1])), timeout=20) as connection:
        connection.sendall(head + SEVEN + bytes(1_500_000))
        until = time.monotonic() + 20
        while not names(inbox) and time.monotonic() < until:
            time.sleep(0.02)
        assert names(inbox)[0].startswith(".upload-")
    until = time.monotonic() + 20
    while names(inbox) and time.monotonic() < until:
        time.sleep(0.02)

    assert names(inbox) == []


def test_the_name_of_any_system_becomes_a_name() -> None:
    assert [clean_name(name) for name in ("a\\b/7.png", "/7.png", "7 .png", "CON.png")] == [
        "7.png", "7.png", "7 .png", "CON.png",
    ]  # fmt: skip
