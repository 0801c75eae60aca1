"""Align an answer with the true text by the fewest edits (Levenshtein distance)."""

from collections.abc import Sequence


def find_differences(text: str, truth: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the positions in both texts that the fewest edits (Levenshtein distance) change.

    >>> [sorted(places) for places in find_differences("14828", "19828")]
    [[1], [1]]
    >>> [sorted(places) for places in find_differences("1428", "14928")]
    [[], [2]]
    """
    pairs = align(text, truth)
    edits = [(i, j) for i, j in pairs if i is None or j is None or text[i] != truth[j]]
    return frozenset(i for i, _ in edits if i is not None), frozenset(j for _, j in edits if j is not None)


def align(first: Sequence[str], second: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Align two sequences with the fewest items to add, remove or replace; None where one has nothing to align.

    >>> align(["9", "3", "8"], ["9", "8", "8"])
    [(0, 0), (1, 1), (2, 2)]
    """
    costs = _edit_costs(first, second)
    pairs: list[tuple[int | None, int | None]] = []
    i, j = len(first), len(second)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (first[i - 1] != second[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def count_digit_errors(text: str, truth: str) -> int:
    """Return the fewest digits to add, remove or replace in an answer; other characters are ignored.

    >>> count_digit_errors("14 828", "19828"), count_digit_errors("", "12")
    (1, 2)
    """
    digits, true_digits = (list(filter(str.isdigit, value)) for value in (text, truth))
    return _edit_costs(digits, true_digits)[-1][-1]


def _edit_costs(first: Sequence[str], second: Sequence[str]) -> list[list[int]]:
    """Return the edit distance of each pair of beginnings, (len(first) + 1, len(second) + 1)."""
    costs = [list(range(len(second) + 1))]
    for i, item in enumerate(first, start=1):
        row = [i]
        for j, other in enumerate(second, start=1):
            row.append(min(costs[-1][j] + 1, row[-1] + 1, costs[-1][j - 1] + (item != other)))
        costs.append(row)
    return costs
