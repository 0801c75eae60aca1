"""Prepare a confusion matrix whose cells link to their pictures, for a template without scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_ERRORS_PER_CELL = 12
"""Upper limit of pictures of an off-diagonal cell, highest confidence first."""
MAX_CORRECT_PER_CELL = 6
"""Upper limit of pictures of a diagonal cell, lowest confidence first."""
_SHADE_STEPS = (0.001, 0.005, 0.02, 0.1)
"""Shares of the pictures of a row from which a darker color is used."""


@dataclass(frozen=True, slots=True)
class MatrixPicture:
    """A picture and its caption."""

    png: bytes
    caption: str
    """Confidence and file."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the matrix: number of pictures of `truth` read as `read_as`."""

    name: str
    """Fragment identifier in the page."""
    row: int
    column: int
    truth: str
    read_as: str
    count: int
    is_right: bool
    shade: int
    """0 for an empty or a diagonal cell, else 1..5."""
    pictures: tuple[MatrixPicture, ...]


Matrix = tuple[tuple[Cell, ...], ...]


def build_matrix(
    counts: Sequence[Sequence[int]],
    rows: Sequence[str],
    columns: Sequence[str],
    pictures: Mapping[tuple[int, int], Sequence[MatrixPicture]],
) -> Matrix:
    """Return the cells, row by row; `pictures` are by (row, column), in the order of display.

    >>> cells = build_matrix([[8, 2]], ["7"], ["7", "1"], {})
    >>> [(cell.name, cell.is_right, cell.shade) for cell in cells[0]]
    [('cell-7-7', True, 0), ('cell-7-1', False, 5)]
    """
    return tuple(
        tuple(
            Cell(
                name=f"cell-{truth}-{read_as}",
                row=i,
                column=j,
                truth=truth,
                read_as=read_as,
                count=row[j],
                is_right=truth == read_as,
                shade=0 if truth == read_as else _shade(row[j], sum(row)),
                pictures=tuple(pictures.get((i, j), ()))[
                    : MAX_CORRECT_PER_CELL if truth == read_as else MAX_ERRORS_PER_CELL
                ],
            )
            for j, read_as in enumerate(columns)
        )
        for i, (truth, row) in enumerate(zip(rows, counts, strict=True))
    )


def _shade(count: int, total: int) -> int:
    return 1 + sum(count / total >= step for step in _SHADE_STEPS) if count else 0
