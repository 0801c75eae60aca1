"""A few corrections among much that was drawn: how often a network is shown them, and how they are varied."""

from collections.abc import Sequence

import cv2
import numpy as np

from digitrec.classifiers.base import NONE
from digitrec.pictures import Ink, Picture
from digitrec.training.arrays import Digits
from digitrec.training.augment import Dice, augment_slightly
from digitrec.training.drawn import Strips, restored, stored
from digitrec.training.loop import Beside
from digitrec.training.networks import Network
from digitrec.training.seen import Examples

_OF_CORRECTIONS = 0.15
"""Share of a batch that is from corrections at most, ..."""
_SEEN = 60
"""... and how often each of their pictures is seen, at most."""
_TIMES, _MOST_STRIPS = 8, 6_000
"""Each strip is varied so many times, but all of them give no more than this."""


def beside(network: Network, learned: Examples, steps: int) -> Sequence[Beside]:
    """Examples for every batch of a network's, so few that none of them is seen too often in so many batches.

    A network that knows ten digits learns nothing from what is none.
    """
    if not network.reads_paper:
        is_digit = learned.classes != NONE
        learned = Examples(learned.pictures[is_digit], learned.classes[is_digit])
    of_batch = min(round(network.batch * _OF_CORRECTIONS), round(_SEEN * len(learned) / steps))
    return [Beside(learned.pictures, learned.classes, max(1, of_batch), _slightly)] if len(learned) else []


def varied(learned: Strips, seed: Sequence[int]) -> Strips:
    """Each strip several times, as the same hand, pen and camera might have made it; a few thousand at most."""
    dice = np.random.default_rng(seed)
    count = min(len(learned) * _TIMES, _MOST_STRIPS)
    places: list[int] = np.resize(dice.permutation(len(learned)), count).tolist() if count else []
    return Strips([_varied(learned.levels[one], dice) for one in places], [learned.texts[one] for one in places])


def _slightly(pictures: Picture, _: Digits, dice: Dice) -> Ink:
    return augment_slightly(pictures, dice)


def _varied(levels: Picture, dice: Dice) -> Picture:
    """A stored strip leant, stretched, moved, blurred and with more or less contrast."""
    height, width = levels.shape
    lean, (across, down) = dice.normal(0.0, 0.1), dice.uniform(0.9, 1.1, 2)
    moved = np.array(
        [
            [across, -lean, lean * (height - 1) / 2 + (1 - across) * width / 2],
            [0.0, down, (1 - down) * height / 2 + dice.uniform(-2.0, 2.0)],
        ]
    )
    paper = restored(levels)  # 0.0 = paper
    varied = cv2.warpAffine(paper, moved, (width, height), flags=cv2.INTER_LINEAR, borderValue=0.0)
    varied = varied * np.float32(dice.uniform(0.75, 1.2))
    varied = varied + dice.standard_normal(varied.shape).astype(np.float32) * np.float32(dice.uniform(0.0, 0.2))
    if dice.random() < 0.3:
        varied = cv2.GaussianBlur(varied, (0, 0), dice.uniform(0.3, 0.8))
    return stored(np.asarray(varied, np.float32))
