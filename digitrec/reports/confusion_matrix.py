"""A confusion matrix whose cells open their pictures: what the template needs to draw it, without a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_ERRORS_PER_CELL = 12
"""Pictures shown of a wrong cell, the surest; ..."""
MAX_CORRECT_PER_CELL = 6
"""... and of one on the diagonal, the least sure."""
SHADES = 5
"""Steps of colour, by the share of the row's pictures."""


@dataclass(frozen=True, slots=True)
class MatrixPicture:
    """One picture and its words."""

    png: bytes
    words: str
    """Below it: how sure, which file."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How often `truth` was read as `read_as`."""

    name: str
    """Its address in the page."""
    row: int
    column: int
    truth: str
    read_as: str
    count: int
    is_right: bool
    shade: int
    """0 for none and for right ones, else 1..SHADES."""
    pictures: tuple[MatrixPicture, ...]


Matrix = tuple[tuple[Cell, ...], ...]


def build_matrix(
    counts: Sequence[Sequence[int]],
    rows: Sequence[str],
    columns: Sequence[str],
    pictures: Mapping[tuple[int, int], Sequence[MatrixPicture]],
) -> Matrix:
    """The cells, row by row; `pictures` by (row, column), those to be shown first.

    >>> cells = matrix([[8, 2]], ["7"], ["7", "1"], {})
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


def cells_with_pictures(cells: Matrix) -> list[Cell]:
    """Those with pictures, in order."""
    return [cell for row in cells for cell in row if cell.pictures]


def _shade(count: int, total: int) -> int:
    """The lightest for less than a thousandth of the row, the darkest from a tenth on."""
    if count == 0:
        return 0
    steps = (0.001, 0.005, 0.02, 0.1)
    return 1 + sum(count / total >= step for step in steps)
