"""Detect the format of a file by content, never by suffix.

Unsupported formats have a name too, for messages like "AVIF is not read". To support one, add a decoder to
`decode.DECODERS`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A file format."""

    name: str
    """'png', 'jpeg', ...: the `format` column of the CSV."""
    words: str
    """Name for messages."""
    advice: str = ""
    """End of the message that it is not read: the next step, where saving it as a picture is not the usual one."""


_UNPACK = "; unpack it"
_ZIP = FileFormat("zip", "ZIP archive", _UNPACK)
_JPEG_2000 = FileFormat("jpeg2000", "JPEG 2000")
_TIFF = FileFormat("tiff", "TIFF")
_HEIC = FileFormat("heic", "HEIC")
_AVIF = FileFormat("avif", "AVIF")
_PDF = FileFormat("pdf", "PDF")
_SVG = FileFormat("svg", "SVG")

_BY_MAGIC: tuple[tuple[int, bytes, FileFormat], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", FileFormat("png", "PNG")),
    (0, b"\xff\xd8\xff", FileFormat("jpeg", "JPEG")),
    (0, b"II*\x00", _TIFF),
    (0, b"MM\x00*", _TIFF),
    (0, b"II+\x00\x08\x00\x00\x00", _TIFF),
    (0, b"MM\x00+\x00\x08\x00\x00", _TIFF),
    (0, b"GIF87a", FileFormat("gif", "GIF")),
    (0, b"GIF89a", FileFormat("gif", "GIF")),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", _JPEG_2000),
    (0, b"\xff\x4f\xff\x51", _JPEG_2000),
    (8, b"WEBP", FileFormat("webp", "WebP")),
    # Detected, but not supported:
    (0, b"\x00\x00\x01\x00", FileFormat("ico", "icon")),
    (0, b"\x00\x00\x02\x00", FileFormat("cur", "cursor")),
    (0, b"icns", FileFormat("icns", "icon")),
    (0, b"8BPS", FileFormat("psd", "Photoshop")),
    (0, b"gimp xcf", FileFormat("xcf", "GIMP")),
    (0, b"PK\x03\x04", _ZIP),
    (0, b"Rar!\x1a\x07", FileFormat("rar", "RAR archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", FileFormat("7z", "7z archive", _UNPACK)),
    (0, b"\x1f\x8b\x08", FileFormat("gzip", "gzip archive", _UNPACK)),
    (257, b"ustar", FileFormat("tar", "tar archive", _UNPACK)),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileFormat("ole", "office document")),
    (0, b"{\\rtf", FileFormat("rtf", "RTF document")),
    (0, b"%!PS", FileFormat("postscript", "PostScript")),
    (0, b"\xc5\xd0\xd3\xc6", FileFormat("postscript", "PostScript")),
    (0, b"\xff\x0a", FileFormat("jpegxl", "JPEG XL")),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", FileFormat("jpegxl", "JPEG XL")),
    (0, b"II\xbc\x01", FileFormat("jpegxr", "JPEG XR")),
    (0, b"BPG\xfb", FileFormat("bpg", "BPG")),
    (0, b"qoif", FileFormat("qoi", "QOI")),
    (0, b"AT&TFORM", FileFormat("djvu", "DjVu")),
    (0, b"\x76\x2f\x31\x01", FileFormat("exr", "OpenEXR")),
    (0, b"#?RADIANCE", FileFormat("hdr", "Radiance")),
    (0, b"DDS ", FileFormat("dds", "DDS")),
    (0, b"SIMPLE  =", FileFormat("fits", "FITS")),
    (0, b"\x8aMNG\r\n\x1a\n", FileFormat("mng", "MNG")),
    (0, b"\x8bJNG\r\n\x1a\n", FileFormat("jng", "JNG")),
    (0, b"\xd7\xcd\xc6\x9a", FileFormat("wmf", "WMF")),
    (0, b"P7\n", FileFormat("pam", "PAM")),
    (128, b"DICM", FileFormat("dicom", "DICOM")),
)

_OFFICE = FileFormat("office", "office document")
_OFFICE_ENTRIES = (b"[Content_Types].xml", b"mimetypeapplication/")
"""Names of entries that documents of Microsoft Office and of LibreOffice have, which are ZIP archives, too."""

_BMP = FileFormat("bmp", "BMP")
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
"""A text may begin with 'BM', but not with the reserved zeros or a header size after it."""

_NETPBM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*-?\d")
_NETPBM_KINDS = {b"14": FileFormat("pbm", "PBM"), b"25": FileFormat("pgm", "PGM"), b"36": FileFormat("ppm", "PPM")}
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def detect_format(data: bytes) -> FileFormat | None:
    """Detect the format of a file from its first bytes; None if it is unknown.

    >>> detect_format(b"GIF89a...").name
    'gif'
    >>> detect_format(b"BMW drivers wanted") is None
    True
    """
    for offset, magic, kind in _BY_MAGIC:
        if data.startswith(magic, offset) and (magic != b"WEBP" or data.startswith(b"RIFF")):
            return _OFFICE if kind is _ZIP and any(name in data for name in _OFFICE_ENTRIES) else kind
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


def _from_brands(data: bytes) -> FileFormat | None:
    """Detect the format of an ISO media file from the brands in its first box: (major, version, compatible...)."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = [box[i : i + 4] for i in range(0, len(box), 4) if i != 4]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return _AVIF
    if any(brand in _HEIF_BRANDS for brand in brands):
        return _HEIC
    return FileFormat("video", "film")
