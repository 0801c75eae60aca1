"""HEIC, the photographs of telephones, through libheif: the primary picture of a file."""

from typing import TYPE_CHECKING

from digitrec.errors import RejectedImage
from digitrec.records import Reason

if TYPE_CHECKING:
    from pillow_heif import HeifFile

_HEVC = b"hvc1"
"""The one way of packing pixels into this container that is read."""
_LIMIT_WORDS = "ecurity limit"
"""libheif refuses what is larger, inside, than it says outside."""


def opened(data: bytes) -> "HeifFile":
    """Read the header, which tells the size as a person sees it; to be called inside `pillow.strictly`.

    Its `to_pillow` decodes, turned as the container says; an orientation in EXIF is only a copy of that.
    Nothing is registered with Pillow, which goes on to know no HEIC.
    """
    import pillow_heif

    try:
        found = pillow_heif.open_heif(data)
    except RuntimeError as why:
        if _LIMIT_WORDS in str(why):
            raise RejectedImage(Reason.TOO_LARGE, "more pixels than are ever decoded") from why
        raise
    if len(found) == 0 and _HEVC not in data:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, "a HEIF whose pixels are not packed as HEVC is not read")
    return found
