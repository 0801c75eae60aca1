"""Decode the frames of a text line: the text, its probability and the position of each symbol.

The frames come from a model trained with CTC (Graves et al. 2006): for each of T steps along the line, the
probability of every symbol and, last, of the blank. The probability of a text is the exact sum over all alignments.
The search for the best text starts at the greedy decoding, and substitutes, inserts or deletes one symbol at a time, or
deletes two, where steps waver between two symbols.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FrameProbs = NDArray[np.float32]
"""(T, symbols + 1), each row sums to 1; the last column is CTC's blank."""
Text = tuple[int, ...]

_MAX_EDITS = 3
_MAX_SEARCH_LENGTH = 24
"""Longest text for which the search runs, which would take seconds beyond."""
_CERTAIN = 0.5
"""Probability above which no text can be better, as all texts together have 1."""
_MIN_INSERT_PROBABILITY = 0.05
"""A symbol with at least this probability at some step may be inserted."""
_RESCALE_STEPS = 8
"""Steps between rescalings of the forward variables, which keep them in the range of a double."""
_TINY = 1e-250


@dataclass(frozen=True, slots=True, eq=False)
class DecodedLine:
    """Text of a line."""

    text: Text
    probability: float
    """Probability of exactly this text."""
    alternatives: NDArray[np.float64]
    """(len(text), symbols): the probability of the text with one symbol substituted."""
    frames: FrameProbs
    """Frames that were decoded."""

    @property
    def steps(self) -> NDArray[np.float64]:
        """Position of each symbol in steps from the left, (len(text),)."""
        return _align_viterbi(self.frames, self.text)


def decode_ctc(frames: FrameProbs, *others: FrameProbs, only: int | None = None) -> DecodedLine:
    """Return the most probable text of a line.

    Args:
        frames: (T, symbols + 1).
        others: other views of the line, such as sheared; probabilities are averaged over all views.
        only: number of symbols allowed in the text; `alternatives` has all of them.

    >>> line = decode_ctc(np.array([[0.9, 0.0, 0.1], [0.0, 0.0, 1.0], [0.0, 0.8, 0.2]], np.float32))
    >>> line.text, round(line.probability, 2), line.steps.tolist()
    ((0, 1), 0.72, [0.0, 2.0])
    """
    views = (frames, *others)
    symbols = frames.shape[1] - 1
    allowed = symbols if only is None else only

    def probabilities_of(texts: list[Text]) -> NDArray[np.float64]:
        if len(views) == 1:
            return sequence_probabilities(frames, texts)
        return np.asarray(np.mean([sequence_probabilities(view, texts) for view in views], axis=0), np.float64)

    candidates = list(dict.fromkeys(tuple(symbol for symbol in _greedy(view) if symbol < allowed) for view in views))
    text = candidates[0] if len(candidates) == 1 else candidates[int(np.argmax(probabilities_of(candidates)))]
    values = probabilities_of([text, *_substitutions(text, symbols)])
    for _ in range(_MAX_EDITS if len(text) <= _MAX_SEARCH_LENGTH else 0):
        if values[0] > _CERTAIN:
            break
        rivals = [text, *_substitutions(text, allowed), *_deletions(text), *_insertions(text, frames[:, :allowed])]
        best = rivals[int(np.argmax(probabilities_of(rivals)))]
        if best == text:
            break
        text = best
        values = probabilities_of([text, *_substitutions(text, symbols)])
    return DecodedLine(text, float(values[0]), values[1:].reshape(len(text), symbols), frames)


def sequence_probabilities(frames: FrameProbs, texts: list[Text]) -> NDArray[np.float64]:
    """Return the probability of each text, (len(texts),).

    >>> sequence_probabilities(np.array([[0.5, 0.5], [0.5, 0.5]], np.float32), [(), (0,), (0, 0)]).tolist()
    [0.25, 0.75, 0.0]
    """
    if max(map(len, texts), default=0) < 2:  # most pages show one symbol
        single = _single_symbol_probabilities(frames)
        return single[[text[0] if text else -1 for text in texts]]
    states, may_skip = _states(texts, frames.shape[1] - 1)
    chance = frames.astype(np.float64)[:, states]  # (T, n, states)
    count, width = states.shape
    alpha = np.zeros((count, width + 2))  # with two empty states before the first
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
    """Return the probability of each symbol alone and, last, of the empty text, (symbols + 1,)."""
    chance = frames.astype(np.float64)
    symbols, blank = chance[:, :-1], chance[:, -1]
    steps = len(frames)
    none_before, none_after = np.ones(steps + 1), np.ones(steps)
    np.cumprod(blank, out=none_before[1:])
    np.cumprod(blank[:0:-1], out=none_after[-2::-1])
    ends_at = np.empty_like(symbols)  # probability that this step is the symbol's last
    ended = np.zeros(symbols.shape[1])
    for step, now in enumerate(symbols):
        np.add(ended, none_before[step], out=ends_at[step])
        ended = np.multiply(ends_at[step], now, out=ends_at[step])
    probabilities = np.empty(symbols.shape[1] + 1)
    np.matmul(none_after, ends_at, out=probabilities[:-1])
    probabilities[-1] = none_before[-1]
    return probabilities


def _states(texts: list[Text], blank: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the states blank, symbol, blank, ..., (n, states), and 1.0 where a blank may be skipped, else 0.0.

    Shorter texts are padded with blanks, from which no transition leads back.
    """
    states = np.full((len(texts), 2 * max(map(len, texts)) + 1), blank, np.intp)
    for row, text in zip(states, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    may_skip = np.zeros(states.shape)
    may_skip[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return states, may_skip


def _align_viterbi(frames: FrameProbs, text: Text) -> NDArray[np.float64]:
    """Return the middle step of each symbol on the most probable alignment (Viterbi)."""
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
    return tuple(int(symbol) for symbol in best[turns] if symbol != frames.shape[1] - 1)


def _substitutions(text: Text, symbols: int) -> list[Text]:
    return [(*text[:index], symbol, *text[index + 1 :]) for index in range(len(text)) for symbol in range(symbols)]


def _deletions(text: Text) -> list[Text]:
    """Return the text without one symbol, and without two neighbours."""
    return [(*text[:index], *text[index + count :]) for count in (1, 2) for index in range(len(text) - count + 1)]


def _insertions(text: Text, chances: FrameProbs) -> list[Text]:
    likely = np.flatnonzero((chances > _MIN_INSERT_PROBABILITY).any(axis=0))
    return [(*text[:index], int(symbol), *text[index:]) for index in range(len(text) + 1) for symbol in likely]
