"""What the card of a model with one network says that another's does not."""

from digitrec.classifiers.card import ModelCard

LIMITS = "- It always names a digit. A letter or a smudge gets ten probabilities like any digit."


def reads(card: ModelCard) -> str:
    """What it does, in a sentence or two."""
    return (
        f"Reads one handwritten digit: 28 x 28 ink in (recipe {card.recipe}), ten calibrated probabilities out. The "
        f"network is\n`{card.network}`, {card.weights:,} numbers."
    )


def learned(_: ModelCard) -> str:
    """More about what it learned from, as points."""
    return "- Not learned from: letters, smudges, empty cells, printed digits, several digits in one picture."
