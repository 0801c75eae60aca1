"""What kind of file some bytes are: by content, never by suffix.

Many are known by name only, so that a person is told "AVIF is not read" and not "this is no picture".
To read one more, give it a decoder in `decode.DECODERS`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A file format."""

    name: str
    """'png', 'jpeg', ...: the `format` column of the CSV."""
    words: str
    """How a person calls it."""


_JPEG_2000 = Kind("jpeg2000", "JPEG 2000")
_TIFF = Kind("tiff", "TIFF")
_HEIC = Kind("heic", "HEIC")
_AVIF = Kind("avif", "AVIF")
_PDF = Kind("pdf", "PDF")
_SVG = Kind("svg", "SVG")

_BY_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", Kind("png", "PNG")),
    (0, b"\xff\xd8\xff", Kind("jpeg", "JPEG")),
    (0, b"II*\x00", _TIFF),
    (0, b"MM\x00*", _TIFF),
    (0, b"II+\x00\x08\x00\x00\x00", _TIFF),
    (0, b"MM\x00+\x00\x08\x00\x00", _TIFF),
    (0, b"GIF87a", Kind("gif", "GIF")),
    (0, b"GIF89a", Kind("gif", "GIF")),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (8, b"WEBP", Kind("webp", "WebP")),
    # Known, and not parsed (yet):
    (0, b"\x00\x00\x01\x00", Kind("ico", "icon")),
    (0, b"\x00\x00\x02\x00", Kind("cur", "cursor")),
    (0, b"icns", Kind("icns", "icon")),
    (0, b"8BPS", Kind("psd", "Photoshop")),
    (0, b"gimp xcf", Kind("xcf", "GIMP")),
    (0, b"PK\x03\x04", Kind("zip", "ZIP or office document")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("ole", "office document")),
    (0, b"{\\rtf", Kind("rtf", "RTF document")),
    (0, b"%!PS", Kind("postscript", "PostScript")),
    (0, b"\xc5\xd0\xd3\xc6", Kind("postscript", "PostScript")),
    (0, b"\xff\x0a", Kind("jpegxl", "JPEG XL")),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", Kind("jpegxl", "JPEG XL")),
    (0, b"II\xbc\x01", Kind("jpegxr", "JPEG XR")),
    (0, b"BPG\xfb", Kind("bpg", "BPG")),
    (0, b"qoif", Kind("qoi", "QOI")),
    (0, b"AT&TFORM", Kind("djvu", "DjVu")),
    (0, b"\x76\x2f\x31\x01", Kind("exr", "OpenEXR")),
    (0, b"#?RADIANCE", Kind("hdr", "Radiance")),
    (0, b"DDS ", Kind("dds", "DDS")),
    (0, b"SIMPLE  =", Kind("fits", "FITS")),
    (0, b"\x8aMNG\r\n\x1a\n", Kind("mng", "MNG")),
    (0, b"\x8bJNG\r\n\x1a\n", Kind("jng", "JNG")),
    (0, b"\xd7\xcd\xc6\x9a", Kind("wmf", "WMF")),
    (0, b"P7\n", Kind("pam", "PAM")),
    (128, b"DICM", Kind("dicom", "DICOM")),
)

_BMP = Kind("bmp", "BMP")
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
"""'BM' alone begins many a text; the reserved zeros or the size of the header after it do not."""

_NETPBM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*-?\d")
_NETPBM_KINDS = {b"14": Kind("pbm", "PBM"), b"25": Kind("pgm", "PGM"), b"36": Kind("ppm", "PPM")}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def kind_of(data: bytes) -> Kind | None:
    """Name the format of a file from its first bytes; None if it is no picture or document we know.

    >>> kind_of(b"GIF89a...").name
    'gif'
    >>> kind_of(b"BMW drivers wanted") is None
    True
    """
    for offset, magic, kind in _BY_MAGIC:
        if data.startswith(magic, offset) and (magic != b"WEBP" or data.startswith(b"RIFF")):
            return kind
    if data.startswith(b"BM") and (
        data[6:10] == bytes(4) or int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES
    ):
        return _BMP
    if _NETPBM.match(data):
        return next(kind for digits, kind in _NETPBM_KINDS.items() if data[1:2] in digits)
    if data.startswith(b"ftyp", 4):
        return _from_brands(data)
    if b"%PDF-" in data[:1024]:
        return _PDF
    start = data[:4096].lower()
    return _SVG if b"<svg" in start and start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else None


def _from_brands(data: bytes) -> Kind | None:
    """An ISO media file says in its first box what may read it: (major, version, compatible...) of 4 bytes each."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = [box[i : i + 4] for i in range(0, len(box), 4) if i != 4]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return _AVIF
    if any(brand in _HEIF_BRANDS for brand in brands):
        return _HEIC
    return Kind("video", "film")
