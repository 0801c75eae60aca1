"""Read pictures from Python, and for `digitrec predict`: `read`, `Reader`, and the pages that they return."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import RejectedImage, UsageError, require_packages
from digitrec.exchange.formats import FLOAT_COLUMNS, INTEGER_COLUMNS, NUMERIC_COLUMNS, parse_value
from digitrec.images import decode, pillow
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import canvas, visualize
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.text import format_utc
from digitrec.types import Limits, OutputFormat, PageReading, Reason, TableRow, Thresholds

if TYPE_CHECKING:
    import pandas

FilePath: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = FilePath | bytes | NDArray[np.uint8] | Image.Image
"""A path, the content of a file, an array (h, w) or (h, w, 3), or a Pillow image."""
Model: TypeAlias = ModelPackage | FilePath
"""A model that was opened or trained, or as `--model` takes it: an id, `shipped`, or the path of a model folder."""
P = TypeVar("P", bound=FilePath)


@dataclass(frozen=True, slots=True)
class _OpenModel:
    """A loaded model with the limits of the files it reads."""

    reader: PageReader
    thresholds: Thresholds
    limits: Limits

    def draw_page(self, data: bytes, reading: PageReading) -> Picture:
        """Draw how a page of a file was read: (h, w, 3) RGB.

        Args:
            data: content of the file.
            reading: the resulting row.
        """
        try:
            sheet = decode.decode_page(data, self.limits, reading.page)
            trace = self.reader.trace(reading.format, sheet)
        except RejectedImage:
            return canvas.vstack([canvas.separator(), canvas.text_block(["No answer: rejected", _describe(reading)])])
        return visualize.draw_trace(visualize.add_detail(trace, sheet), reading, self.thresholds.for_text(reading.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(PageReading):
    """One page of a picture or document, and what was read on it.

    The fields are those of a row of the main table: `text` is "7" or "21 37 65", `confidence` the probability that all
    of it is right, 0..1, `status` accepted, review or rejected, and `reason` says why it was not accepted. `numbers`
    and `digits` have boxes in pixels of the upright page.
    """

    file: str
    """The path as given; "" for a picture that is no file."""
    sha256: str
    """Of the content; "" if it could not be read."""
    size_bytes: int
    _source: Path | bytes = field(repr=False, compare=False)
    _model: _OpenModel = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return (
            f"Page(file={self.file!r}, page={self.page}, status={self.status.value!r}, text={self.text!r}, "
            f"confidence={self.confidence}, reason={self.reason and self.reason.value!r})"
        )

    def explain(self) -> Image.Image:
        """Draw how the page was read: sheet, rules, ink, characters, numbers and decision.

        A picture that is a file is opened again.

        Returns:
            An RGB image, up to 1,250 pixels wide; notebooks show it.

        Raises:
            OSError: the file cannot be opened any more.
            UsageError: the file is not the one that was read.
        """
        title = [canvas.text_block([self.file], size=0.7)] if self.file else []
        return Image.fromarray(canvas.add_border(canvas.vstack([*title, self.draw_steps()])))

    def draw_steps(self) -> Picture:
        """Return the same drawing without title and border, (h, w, 3) RGB, to be put below others."""
        data = self._source if isinstance(self._source, bytes) else self._source.read_bytes()
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256:
            raise UsageError(f"{self.file} has changed since it was read", hint="Read it again.")
        return self._model.draw_page(data, self)


class Reader:
    """Reads pictures with one model; any number of threads may use it at the same time.

    The model is loaded once, which takes longer than reading a picture. Files are opened within the limits of the
    workspace in the current folder (`max_bytes`, `max_pixels`, `max_pages`), or the default ones.

    Args:
        model: the model. None: the one in use in the workspace, else the shipped one.
        max_error: upper limit of the share of wrong numbers among the accepted ones, 0.0001..0.5.

    Raises:
        ModelError: the model is missing, damaged or of a later version.
        SettingsError: `max_error` is outside its range, or digitrec.toml in the current folder cannot be used.
    """

    model: ModelPackage
    """The model that reads: its folder and card."""

    def __init__(self, model: Model | None = None, max_error: float = 0.005) -> None:
        self._load(load_settings(model=model, max_error=max_error))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a reader with the model, `max_error` and limits of a workspace."""
        reader = cls.__new__(cls)
        reader._load(settings)
        return reader

    def _load(self, settings: Settings) -> None:
        self._settings = settings
        self.model = composition.open_model(settings)
        thresholds = composition.choose_thresholds(settings, self.model)
        self._open = _OpenModel(composition.load_page_reader(self.model, settings), thresholds, settings.limits)

    def read(self, source: Source) -> list[Page]:
        """Read all pages of a picture or document.

        A file that cannot be decoded is one page with the status rejected.

        Args:
            source: a path, the content of a file, an array of uint8, (h, w) gray or (h, w, 3) RGB, 0 = black,
                255 = white, or a Pillow image (its current frame, in EXIF orientation).

        Returns:
            The pages, in their order, at least one.

        Raises:
            OSError: the file cannot be opened.
            TypeError: the source is none of these, or an array of another type.
            ValueError: the array has another shape.
        """
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            (result,) = read_files.read_paths([path], self._open.limits, self._open.reader)
            return self._to_pages(result, str(path), path)
        data = source if isinstance(source, bytes) else _encode_png(_to_picture(source))
        return self._to_pages(read_files.read_bytes(data, self._open.limits, self._open.reader), "", data)

    def read_many(self, paths: Iterable[P]) -> Iterator[tuple[P, list[Page]]]:
        """Read files one after the other; yield each path with its pages.

        Small files are read together, which is a tenth faster. A file that cannot be opened is one page with the status
        rejected and the reason `io_error`; `detail` has the cause.

        Args:
            paths: any number of paths; they are listed first, and yielded in this order.
        """
        sources = list(paths)
        files = [Path(path) for path in sources]
        results = read_files.iter_results(files, self._open.limits, self._open.reader)
        for path, file, result in zip(sources, files, results, strict=True):
            if isinstance(result, OSError):
                why = FileResult(rejected=Reason.IO_ERROR, detail=result.strerror or type(result).__name__)
                yield path, self._to_pages(why, str(file), file)
            else:
                yield path, self._to_pages(result, str(file), file)

    def read_frame(self, paths: Iterable[FilePath]) -> "pandas.DataFrame":
        """Read files into a data frame with a row per page and the columns of the main table.

        Text columns hold text, so that "0650" keeps its zero; counts are `Int64`, probabilities `float64`, 0..1.

        Args:
            paths: any number of paths; the rows are in this order.

        Raises:
            MissingPackage: pandas is not installed.
        """
        require_packages("read_frame", "pandas")
        import pandas

        rows, output_format = self.to_table(page for _, pages in self.read_many(paths) for page in pages)
        lines = [csv_tables.format_cells(row, output_format) for row in rows]
        columns: dict[str, pandas.Series[Any]] = {}
        for column in output_format.columns:
            cells = [line[column] for line in lines]
            values = [parse_value(column, cell) for cell in cells] if column in NUMERIC_COLUMNS else cells
            columns[column] = pandas.Series(values, dtype=_dtype(column))
        return pandas.DataFrame(columns)

    def to_table(self, pages: Iterable[Page]) -> tuple[list[TableRow], OutputFormat]:
        """Return pages as rows of the main table, without a batch, and the format that `csv_tables` renders."""
        now = format_utc(time.time())
        rows = [
            TableRow("", number, page.file, page.sha256, page.size_bytes, now, "", "", page)
            for number, page in enumerate(pages, start=1)
        ]
        return rows, composition.make_output_format(self._settings, self.model, self._open.thresholds, now)

    def _to_pages(self, result: FileResult, file: str, source: Path | bytes) -> list[Page]:
        (readings,) = read_files.decide_readings([result], self._open.thresholds)
        return [
            Page(
                **{column.name: getattr(reading, column.name) for column in fields(reading)},
                file=file,
                sha256=result.sha256,
                size_bytes=result.size,
                _source=source if isinstance(source, bytes) else source.absolute(),
                _model=self._open,
            )
            for reading in readings
        ]


def read(source: Source, model: Model | None = None, max_error: float = 0.005) -> list[Page]:
    """Read all pages of one picture or document; `Reader` reads many with a model that is loaded once.

    Args:
        source: a path, the content of a file, a uint8 array, (h, w) gray or (h, w, 3) RGB, 0 = black, or a Pillow
            image.
        model: the model. None: the one in use in the workspace, else the shipped one.
        max_error: upper limit of the share of wrong numbers among the accepted ones, 0.0001..0.5.

    Returns:
        The pages, in their order; one with the status rejected for a file that cannot be decoded.

    Raises:
        ModelError: the model is missing, damaged or of a later version.
        OSError: the file cannot be opened.
        SettingsError: `max_error` is outside its range, or digitrec.toml in the current folder cannot be used.
        TypeError: the source is none of these, or an array of another type.
        ValueError: the array has another shape.
    """
    return Reader(model, max_error).read(source)


def load_settings(workspace: FilePath | None = None, **values: object) -> Settings:
    """Return the settings of a workspace, by default of the current folder, with these values replaced."""
    model = values.get("model")
    if isinstance(model, ModelPackage):
        values["model"] = str(model.folder)
    elif isinstance(model, os.PathLike):
        values["model"] = os.fspath(model)
    return Settings.load(None if workspace is None else Path(workspace), values)


def _to_picture(source: Image.Image | NDArray[np.uint8]) -> Picture:
    """Return the gray (h, w) or RGB (h, w, 3) pixels of an array or an image."""
    if isinstance(source, Image.Image):
        return pillow.apply_orientation(pillow.to_picture(source), pillow.read_orientation(source))
    if not isinstance(source, np.ndarray):
        raise TypeError(f"a picture is a path, bytes, an array or a Pillow image, not {type(source).__name__}")
    if source.dtype != np.uint8:
        raise TypeError(f"the array holds {source.dtype}; a picture holds uint8, 0 = black, 255 = white")
    if source.size == 0 or not (source.ndim == 2 or (source.ndim == 3 and source.shape[2] == 3)):
        raise ValueError(f"the array has the shape {source.shape}; a picture has (h, w) or (h, w, 3)")
    return source


def _encode_png(picture: Picture) -> bytes:
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    is_encoded, data = cv2.imencode(".png", np.ascontiguousarray(colours), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not is_encoded:
        raise ValueError(f"a picture of shape {picture.shape} cannot be encoded")
    return data.tobytes()


def _describe(reading: PageReading) -> str:
    return f"{reading.reason}: {reading.detail}"


def _dtype(column: str) -> str:
    return "float64" if column in FLOAT_COLUMNS else "Int64" if column in INTEGER_COLUMNS else "str"
