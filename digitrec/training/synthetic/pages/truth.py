"""What is written on a synthetic page or a labelled picture."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """One number and its position on the page."""

    text: str
    """As written, signs included: `-5`, `3,14`, `12/03/2024`, `12+5=17`."""
    line: int = 1
    """Line of the page, or row of a ruled table, from 1."""
    column: int = 1
    """Position in the line, or column of a ruled table, from 1."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that is written on a page."""

    numbers: tuple[WrittenNumber, ...]
    """In reading order."""
    words: str = ""
    """Writing that is no number."""
    is_digits_only: bool = False
    """True for labels of real pictures that hold only the digits: signs and limits of numbers are unknown."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the texts of all numbers."""
        return tuple(number.text for number in self.numbers)

    @property
    def text(self) -> str:
        """Return all numbers without spaces between them."""
        return "".join(self.texts)

    @property
    def is_written(self) -> bool:
        """Return whether anything is written on the page."""
        return bool(self.numbers or self.words)


def number_lines(lines: Sequence[Sequence[str]]) -> tuple[WrittenNumber, ...]:
    """Return the numbers of lines, or of the rows of a table; empty texts count as columns, but are no numbers.

    >>> number_lines([["12", "", "7"], ["5"]])[1:]
    (WrittenNumber(text='7', line=1, column=3), WrittenNumber(text='5', line=2, column=1))
    """
    return tuple(
        WrittenNumber(text, line, column)
        for line, texts in enumerate(lines, 1)
        for column, text in enumerate(texts, 1)
        if text
    )
