"""Comparison of readers on the same pictures."""

from pathlib import Path

from benchmarks.peers import measure


def test_a_row_has_the_shares_of_right_and_of_wrong_accepted_answers() -> None:
    answers = {"a.png": ("7", True), "b.png": ("1", True), "c.png": ("3", False), "d.png": ("4", False)}
    labels = [(Path(name), label) for name, label in zip(answers, "7233", strict=True)]

    row = measure(lambda path: answers[path.name], labels)

    assert row.startswith("50.0 % | 50.0 % (1) | 50.0 % | ")
    assert row.endswith(" ms")
