"""PDFs made by hand: every object in sight, so that each can be made wrong."""

import hashlib
import zlib
from itertools import pairwise

from digitrec.arrays import Picture

SEVEN = ((15, 95), (70, 95), (35, 15))
"""Corners of a 7 on a page of 90 x 120 points, y upwards."""
DRAWN = b"9 w 1 J 1 j " + b"".join(b"%d %d m %d %d l S " % (*start, *end) for start, end in pairwise(SEVEN))
ID = b"\x01" * 16
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def stream(body: bytes, keys: bytes = b"") -> bytes:
    """An object with a body."""
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (keys, len(body), body)


def pdf(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A file of these objects, numbered from 1; the first is the catalogue."""
    data = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    return (
        data
        + head
        + table
        + b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, len(data))
    )


def drawn(content: bytes = DRAWN, page: bytes = b"", *, box: bytes = b"0 0 90 120") -> list[bytes]:
    """The objects of one page with this content."""
    return [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R%s>>" % (box, page),
        stream(content),
    ]


def scanned(body: bytes, keys: bytes, size: tuple[int, int] = (90, 120)) -> bytes:
    """A page filled with an image whose packed pixels are `body`."""
    page = drawn(b"90 0 0 120 0 0 cm /I Do", b"/Resources<</XObject<</I 5 0 R>>>>")
    header = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray" % size
    return pdf([*page, stream(body, header + keys)])


def deflated(picture: Picture, lost: int = 0) -> bytes:
    """A grey picture as a page, the last `lost` bytes of its packed pixels missing."""
    packed = zlib.compress(picture.tobytes())
    height, width = picture.shape
    return scanned(packed[: len(packed) - lost], b"/BitsPerComponent 8/Filter/FlateDecode", (width, height))


def encrypted(user_password: bytes) -> bytes:
    """One page, forty bits of RC4: opens for everyone if the password is empty."""
    owner, rights = b"\x02" * 32, -4
    secret = (user_password + _PADDING)[:32] + owner + rights.to_bytes(4, "little", signed=True) + ID
    key = hashlib.md5(secret).digest()[:5]
    page = drawn()
    page[3] = stream(_rc4(hashlib.md5(key + b"\x04\0\0\0\0").digest()[:10], DRAWN))
    header = (owner.hex().encode(), _rc4(key, _PADDING).hex().encode(), rights, ID.hex().encode(), ID.hex().encode())
    return pdf(page, b"/Encrypt<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P %d>>/ID[<%s><%s>]" % header)


def bomb(levels: int) -> bytes:
    """2 kB that ask for the same lines to be drawn 10 ** `levels` times."""
    page = drawn(b"/X Do", b"/Resources<</XObject<</X 5 0 R>>>>")
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 90 120]"
    for number in range(5, 5 + levels):
        page.append(stream(b"/X Do " * 10, form + b"/Resources<</XObject<</X %d 0 R>>>>" % (number + 1)))
    return pdf([*page, stream(DRAWN, form)])


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
