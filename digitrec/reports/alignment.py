"""Compare the characters of an answer with those of the true text."""

from collections.abc import Sequence


def find_differences(text: str, truth: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the positions in both texts that the fewest edits (Levenshtein distance) change.

    >>> [sorted(places) for places in find_differences("14828", "19828")]
    [[1], [1]]
    >>> [sorted(places) for places in find_differences("1428", "14928")]
    [[], [2]]
    """
    costs = _edit_costs(text, truth)
    wrong, missed = set(), set()
    i, j = len(text), len(truth)
    while i or j:
        if i and j and text[i - 1] == truth[j - 1] and costs[i][j] == costs[i - 1][j - 1]:
            i, j = i - 1, j - 1
        elif i and j and costs[i][j] == costs[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
            wrong.add(i)
            missed.add(j)
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            wrong.add(i)
        else:
            j -= 1
            missed.add(j)
    return frozenset(wrong), frozenset(missed)


def count_digit_errors(text: str, truth: str) -> int:
    """Return the fewest digits to add, remove or replace in an answer; other characters are ignored.

    >>> count_digit_errors("14 828", "19828"), count_digit_errors("", "12")
    (1, 2)
    """
    digits, true_digits = (list(filter(str.isdigit, value)) for value in (text, truth))
    return _edit_costs(digits, true_digits)[-1][-1]


def _edit_costs(text: Sequence[str], truth: Sequence[str]) -> list[list[int]]:
    """Return the edit distance of each pair of beginnings, (len(text) + 1, len(truth) + 1)."""
    costs = [list(range(len(truth) + 1))]
    for i, character in enumerate(text, start=1):
        row = [i]
        for j, true_character in enumerate(truth, start=1):
            row.append(min(costs[-1][j] + 1, row[-1] + 1, costs[-1][j - 1] + (character != true_character)))
        costs.append(row)
    return costs
