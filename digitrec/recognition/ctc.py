"""Frames of a line -> what it says, how sure that is, and where each sign stands.

The frames come from a network trained with CTC (Graves et al. 2006): for each of T steps along the line, the
probability of every sign and, last, of none being there. A text's probability is the sum over all ways in which its
signs may fall on the steps, and is worked out exactly; the best text is looked for from the most probable sign of each
step, exchanging, adding or leaving out one sign at a time, or leaving out two: steps that waver between two signs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FrameProbs = NDArray[np.float32]
"""(T, signs + 1), each row sums to 1; the last column is CTC's blank."""
Text = tuple[int, ...]

_MAX_EDITS = 3
_MAX_SEARCH_LENGTH = 24
"""For longer texts no better one is looked for: no number has as many digits, and it would take seconds."""
_CERTAIN = 0.5
"""All texts together have a probability of 1: above this there is no better one."""
_MIN_INSERT_PROBABILITY = 0.05
"""A sign that some step gives at least this probability may have been missed."""
_RESCALE_STEPS = 8
"""Steps after which probabilities are brought back to about 1: in between they stay far from what a double can hold."""
_TINY = 1e-250


@dataclass(frozen=True, slots=True, eq=False)
class DecodedLine:
    """What a line says."""

    text: Text
    probability: float
    """That it is this text and no other."""
    alternatives: NDArray[np.float64]
    """(len(text), signs): for each place, the probability of the text with that sign there instead."""
    frames: FrameProbs
    """That it was read from."""

    @property
    def steps(self) -> NDArray[np.float64]:
        """(len(text),): where each sign stands, in steps from the left."""
        return _align_viterbi(self.frames, self.text)


def decode_ctc(frames: FrameProbs, *others: FrameProbs, only: int | None = None) -> DecodedLine:
    """The most probable text of a line.

    Args:
        frames: (T, signs + 1).
        others: the same line seen otherwise, such as slanted; a text's probability is then the mean over all of them.
        only: the text is of the first so many signs alone; `alternatives` tells of the others all the same.

    >>> line = decode(np.array([[0.9, 0.0, 0.1], [0.0, 0.0, 1.0], [0.0, 0.8, 0.2]], np.float32))
    >>> line.text, round(line.probability, 2), line.steps.tolist()
    ((0, 1), 0.72, [0.0, 2.0])
    """
    views = (frames, *others)
    signs = frames.shape[1] - 1
    allowed = signs if only is None else only

    def chances(texts: list[Text]) -> NDArray[np.float64]:
        if len(views) == 1:
            return sequence_probabilities(frames, texts)
        return np.asarray(np.mean([sequence_probabilities(view, texts) for view in views], axis=0), np.float64)

    first = list(dict.fromkeys(tuple(sign for sign in _greedy(view) if sign < allowed) for view in views))
    text = first[0] if len(first) == 1 else first[int(np.argmax(chances(first)))]
    found = chances([text, *_substitutions(text, signs)])
    for _ in range(_MAX_EDITS if len(text) <= _MAX_SEARCH_LENGTH else 0):
        if found[0] > _CERTAIN:
            break
        rivals = [text, *_substitutions(text, allowed), *_deletions(text), *_insertions(text, frames[:, :allowed])]
        best = rivals[int(np.argmax(chances(rivals)))]
        if best == text:
            break
        text = best
        found = chances([text, *_substitutions(text, signs)])
    return DecodedLine(text, float(found[0]), found[1:].reshape(len(text), signs), frames)


def sequence_probabilities(frames: FrameProbs, texts: list[Text]) -> NDArray[np.float64]:
    """The probability of each of these texts, (len(texts),).

    >>> probabilities(np.array([[0.5, 0.5], [0.5, 0.5]], np.float32), [(), (0,), (0, 0)]).tolist()
    [0.25, 0.75, 0.0]
    """
    if max(map(len, texts), default=0) < 2:  # most pages show one sign
        of_one = _single_symbol_probabilities(frames)
        return of_one[[text[0] if text else -1 for text in texts]]
    states, may_skip = _states(texts, frames.shape[1] - 1)
    chance = frames.astype(np.float64)[:, states]  # (T, n, states)
    count, width = states.shape
    alpha = np.zeros((count, width + 2))  # with two states before the first, in which nothing ever is
    moved = np.empty((count, width))
    alpha[:, 2:4] = chance[0, :, :2]
    scale = np.zeros(count)
    for step, now in enumerate(chance[1:], start=1):  # CTC's forward recursion, all texts at once
        np.multiply(alpha[:, :-2], may_skip, out=moved)
        moved += alpha[:, 1:-1]
        moved += alpha[:, 2:]
        np.multiply(moved, now, out=alpha[:, 2:])
        if step % _RESCALE_STEPS == 0:
            total = np.maximum(alpha.sum(axis=1), _TINY)
            alpha /= total[:, None]
            scale += np.log(total)
    last = np.array([2 * len(text) for text in texts]) + 2
    rows = np.arange(count)
    ends = alpha[rows, last] + alpha[rows, last - 1]
    return np.asarray(ends * np.exp(scale), np.float64)


def _single_symbol_probabilities(frames: FrameProbs) -> NDArray[np.float64]:
    """The probability of each sign alone and, last, of none at all, (signs + 1,)."""
    chance = frames.astype(np.float64)
    signs, blank = chance[:, :-1], chance[:, -1]
    steps = len(frames)
    none_before, none_after = np.ones(steps + 1), np.ones(steps)
    np.cumprod(blank, out=none_before[1:])
    np.cumprod(blank[:0:-1], out=none_after[-2::-1])
    ends_at = np.empty_like(signs)  # the sign alone has been there, and this is its last step
    ended = np.zeros(signs.shape[1])
    for step, now in enumerate(signs):
        np.add(ended, none_before[step], out=ends_at[step])
        ended = np.multiply(ends_at[step], now, out=ends_at[step])
    found = np.empty(signs.shape[1] + 1)
    np.matmul(none_after, ends_at, out=found[:-1])
    found[-1] = none_before[-1]
    return found


def _states(texts: list[Text], blank: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Blank, sign, blank, sign, ..., blank, (n, states), and 1.0 where the blank before may be left out, else 0.0.

    Shorter texts are filled up with blanks: nothing goes back from there.
    """
    states = np.full((len(texts), 2 * max(map(len, texts)) + 1), blank, np.intp)
    for row, text in zip(states, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    may_skip = np.zeros(states.shape)
    may_skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return states, may_skip


def _align_viterbi(frames: FrameProbs, text: Text) -> NDArray[np.float64]:
    """Where each sign stands if the text's most probable course is taken (Viterbi): the middle of its steps."""
    if not text:
        return np.zeros(0)
    states, may_skip = _states([text], frames.shape[1] - 1)
    chance = np.log(np.maximum(frames.astype(np.float64)[:, states[0]], _TINY))  # (T, 2 * length + 1)
    width = chance.shape[1]
    best = np.full(width, -np.inf)
    best[:2] = chance[0, :2]
    came = np.zeros((len(frames), width), np.intp)
    for step in range(1, len(frames)):
        options = np.full((3, width), -np.inf)
        options[0] = best
        options[1, 1:] = best[:-1]
        options[2, 2:] = np.where(may_skip[0, 2:] > 0, best[:-2], -np.inf)
        came[step] = options.argmax(axis=0)
        best = options.max(axis=0) + chance[step]
    state = width - 1 if best[-1] > best[-2] else width - 2
    spans: list[list[int]] = [[] for _ in text]
    for step in range(len(frames) - 1, -1, -1):
        if state % 2:
            spans[state // 2].append(step)
        state -= int(came[step, state])
    return np.array([float(np.mean(span)) if span else np.nan for span in spans])


def _greedy(frames: FrameProbs) -> Text:
    best = frames.argmax(axis=1)
    turns = np.concatenate(([True], best[1:] != best[:-1]))
    return tuple(int(sign) for sign in best[turns] if sign != frames.shape[1] - 1)


def _substitutions(text: Text, signs: int) -> list[Text]:
    return [(*text[:place], sign, *text[place + 1 :]) for place in range(len(text)) for sign in range(signs)]


def _deletions(text: Text) -> list[Text]:
    """The text without one sign, or without two neighbours."""
    return [(*text[:place], *text[place + some :]) for some in (1, 2) for place in range(len(text) - some + 1)]


def _insertions(text: Text, chances: FrameProbs) -> list[Text]:
    likely = np.flatnonzero((chances > _MIN_INSERT_PROBABILITY).any(axis=0))
    return [(*text[:place], int(sign), *text[place:]) for place in range(len(text) + 1) for sign in likely]
