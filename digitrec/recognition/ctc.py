"""Decode the frames of a text line: the text, its probability and the position of each symbol.

The frames come from a model trained with CTC (Graves et al. 2006): for each of T steps along the line, the
probability of every symbol and, last, of the blank. The probability of a text is the exact sum over all alignments.
The search for the best text starts at the greedy decoding, and substitutes, inserts or deletes one symbol at a time, or
deletes two, where steps waver between two symbols. The forward and backward variables of the present text give the
probabilities of all these edits at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FrameProbs = NDArray[np.float32]
"""(T, symbols + 1), each row sums to 1; the last column is CTC's blank."""
Text = tuple[int, ...]

_MAX_EDITS = 3
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


_NONE = np.zeros((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Edits:
    """Probabilities of a text and of the texts that an edit makes of it."""

    unchanged: float
    substitutions: NDArray[np.float64]
    """(length, symbols): one symbol replaced."""
    deletions: NDArray[np.float64]
    """(2, length): without this symbol; without this one and the next, 0 for the last symbol."""
    insertions: NDArray[np.float64]
    """(length + 1, symbols): a symbol inserted before this place."""


@dataclass(frozen=True, slots=True, eq=False)
class _Variables:
    """Forward and backward variables of a text; its states are its symbols with a blank before, between and after."""

    forward: NDArray[np.float64]
    """(T + 1, views, states): probability that the steps before this one end in the state."""
    forward_scale: NDArray[np.float64]
    """(T + 1, views): logarithm of the factor that `forward` lacks."""
    backward: NDArray[np.float64]
    """(T + 1, views, states): probability that the steps from this one on begin in the state."""
    backward_scale: NDArray[np.float64]
    """(T + 1, views)"""


def decode_ctc(frames: FrameProbs, *others: FrameProbs, without: Sequence[int] = ()) -> DecodedLine:
    """Return the most probable text of a line.

    Args:
        frames: (T, symbols + 1).
        others: other views of the line, such as sheared; probabilities are averaged over all views.
        without: symbols that are not allowed in the text; `alternatives` has all of them.

    >>> line = decode_ctc(np.array([[0.9, 0.0, 0.1], [0.0, 0.0, 1.0], [0.0, 0.8, 0.2]], np.float32))
    >>> line.text, round(line.probability, 2), line.steps.tolist()
    ((0, 1), 0.72, [0.0, 2.0])
    """
    views = (frames, *others)
    symbols = frames.shape[1] - 1
    is_allowed = np.ones(symbols, np.bool_)
    is_allowed[list(without)] = False
    candidates = list(
        dict.fromkeys(tuple(symbol for symbol in decode_greedily(view) if is_allowed[symbol]) for view in views)
    )
    text = candidates[0]
    if len(candidates) > 1:
        text = candidates[int(np.argmax(np.mean([sequence_probabilities(view, candidates) for view in views], axis=0)))]
    if len(text) == 1:  # most pages show one symbol
        single = np.mean([_single_symbol_probabilities(view) for view in views], axis=0)  # (symbols + 1,)
        if single[text[0]] > _CERTAIN:
            return DecodedLine(text, float(single[text[0]]), single[None, :-1], frames)
    stacked = _stack(views)
    is_inserted = is_allowed & (frames[:, :-1] > _MIN_INSERT_PROBABILITY).any(axis=0)
    edits = _edit_probabilities(stacked, text)
    for _ in range(_MAX_EDITS):
        if edits.unchanged > _CERTAIN:
            break
        best = _best_edit(edits, text, is_allowed, is_inserted)
        if best == text:
            break
        text = best
        edits = _edit_probabilities(stacked, text)
    return DecodedLine(text, edits.unchanged, edits.substitutions, frames)


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


def decode_greedily(frames: FrameProbs) -> Text:
    """Return the text of the most probable symbol of each step.

    >>> decode_greedily(np.eye(18, dtype=np.float32)[[17, 3, 3, 17, 3, 7]])
    (3, 3, 7)
    """
    best = frames.argmax(axis=1)
    turns = np.concatenate(([True], best[1:] != best[:-1]))
    return tuple(int(symbol) for symbol in best[turns] if symbol != frames.shape[1] - 1)


def _stack(views: Sequence[FrameProbs]) -> NDArray[np.float64]:
    """Return the views as (T, views, symbols + 1); certain blanks, which change no text, follow a shorter view."""
    stacked = np.zeros((max(map(len, views)), len(views), views[0].shape[1]))
    stacked[:, :, -1] = 1.0
    for index, view in enumerate(views):
        stacked[: len(view), index] = view
    return stacked


def _best_edit(edits: _Edits, text: Text, is_allowed: NDArray[np.bool_], is_inserted: NDArray[np.bool_]) -> Text:
    """Return the most probable of the text and its edits; the text itself or an earlier kind of edit if equal.

    Args:
        edits: probabilities of the edits.
        text: the present text.
        is_allowed: (symbols,), whether each symbol may replace one of the text.
        is_inserted: (symbols,), whether each symbol may be inserted.
    """
    best, probability = text, edits.unchanged
    substitutions = np.where(is_allowed, edits.substitutions, -1.0)
    insertions = np.where(is_inserted, edits.insertions, -1.0)
    for kind, values in enumerate((substitutions, edits.deletions, insertions)):
        if values.size == 0 or values.max() <= probability:
            continue
        row, column = (int(index) for index in np.unravel_index(values.argmax(), values.shape))
        probability = float(values[row, column])
        if kind == 0:
            best = (*text[:row], column, *text[row + 1 :])
        elif kind == 1:
            best = (*text[:column], *text[column + row + 1 :])
        else:
            best = (*text[:row], column, *text[row:])
    return best


def _edit_probabilities(frames: NDArray[np.float64], text: Text) -> _Edits:
    """Return the probabilities of a text and its edits, averaged over the views; frames: (T, views, symbols + 1).

    A certain text gets no deletions and insertions, which would not be used.
    """
    variables = _forward_backward(frames, text)
    views = variables.forward[-1, :, -2:].sum(axis=1) * np.exp(variables.forward_scale[-1])  # (views,)
    unchanged = float(views.mean())
    if unchanged > _CERTAIN:
        substitutions, _ = _new_symbol_probabilities(frames, text, variables, has_insertions=False)
        return _Edits(unchanged, substitutions.mean(axis=0), _NONE, _NONE)
    substitutions, insertions = _new_symbol_probabilities(frames, text, variables)
    deletions = _deletion_probabilities(text, variables)
    return _Edits(unchanged, substitutions.mean(axis=0), deletions.mean(axis=1), insertions.mean(axis=0))


def _new_symbol_probabilities(
    frames: NDArray[np.float64], text: Text, variables: _Variables, *, has_insertions: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of the substitutions and of the insertions; see `_Edits`, with a leading axis of views.

    An alignment of such a text consists of an alignment of a prefix of `text`, the new symbol on a span of steps, and
    an alignment of a suffix of `text`. The product of the three is summed over all spans.
    """
    steps, views, width = frames.shape
    length, symbols = len(text), width - 1
    differs = np.array(text, np.intp).reshape(length, 1) != np.arange(symbols)  # (length, symbols)
    spans = np.zeros((views, length + 1, symbols))  # a prefix, then the symbol up to this step
    scale = np.zeros(views)
    block = np.empty((_RESCALE_STEPS, *spans.shape))
    # Sums over the spans: with the rest of the text after the prefix, from its blank and from its symbol on; with the
    # rest without its first symbol, likewise.
    sums = np.zeros((4, *spans.shape))
    for start in range(0, steps, _RESCALE_STEPS):
        stop = min(start + _RESCALE_STEPS, steps)
        prefixes = np.repeat(variables.forward[start:stop, :, 0::2, None], symbols, axis=3)
        prefixes[:, :, 1:] += variables.forward[start:stop, :, 1::2, None] * differs
        prefixes *= np.exp(variables.forward_scale[start:stop] - scale)[:, :, None, None]
        chance = frames[start:stop, :, None, :-1]
        for step in range(stop - start):
            spans = np.add(spans, prefixes[step], out=block[step])
            spans *= chance[step]
        suffixes = variables.backward[start + 1 : stop + 1]
        suffixes = suffixes * np.exp(scale + variables.backward_scale[start + 1 : stop + 1])[:, :, None]
        for index in range(0 if has_insertions else 2, 4):
            parts = suffixes[:, :, index::2]
            count = parts.shape[2]
            sums[index, :, :count] += np.einsum("tvis,tvi->vis", block[: stop - start, :, :count], parts)
        # Never below the scale of the prefixes, which are added in the next block.
        total = np.log(np.maximum(spans.sum(axis=(1, 2)), _TINY))
        rescaled = np.maximum(scale + total, variables.forward_scale[stop])
        spans = spans * np.exp(scale - rescaled)[:, None, None]
        scale = rescaled
    insertions, substitutions = sums[0], sums[2, :, :-1]
    insertions[:, :-1] += sums[1, :, :-1] * differs  # equal symbols need a blank between
    substitutions[:, :-1] += sums[3, :, : max(0, length - 1)] * differs[1:]
    return substitutions, insertions


def _deletion_probabilities(text: Text, variables: _Variables) -> NDArray[np.float64]:
    """Return the probability without each symbol, and without it and the next: (2, views, length), 0 for no next."""
    length = len(text)
    weights = np.exp(variables.forward_scale + variables.backward_scale)[:, :, None]
    prefixes = weights * variables.forward[:, :, 1::2]  # (T + 1, views, length), that end with their last symbol
    deletions = np.zeros((2, prefixes.shape[1], length))
    for count in range(1, min(2, length) + 1):
        first = variables.backward[0, :, 2 * count : 2 * count + 2].sum(axis=1) * np.exp(variables.backward_scale[0])
        deletions[count - 1, :, 0] = first  # no prefix: the suffix starts at the first step
        suffixes = variables.backward[:, :, 2 * count + 2 :: 2].copy()
        differs = [before != after for before, after in zip(text, text[count + 1 :], strict=False)]
        suffixes[:, :, :-1] += variables.backward[:, :, 2 * count + 3 :: 2] * np.array(differs)
        last = length - count
        deletions[count - 1, :, 1 : last + 1] = np.einsum("tvi,tvi->vi", prefixes[:, :, :last], suffixes)
    return deletions


def _forward_backward(frames: NDArray[np.float64], text: Text) -> _Variables:
    """Return the forward and backward variables of a text; frames: (T, views, symbols + 1)."""
    steps, views, width = frames.shape
    (states,), (may_skip,) = _states([text], width - 1)
    _, (may_skip_back,) = _states([text[::-1]], width - 1)
    # The backward variables are the forward variables of the reversed text on the reversed frames.
    chance = np.concatenate((frames[:, :, states], frames[::-1, :, states[::-1]]), axis=1)  # (T, 2 * views, states)
    may_skip = np.repeat(np.stack((may_skip, may_skip_back)), views, axis=0)
    variables = np.zeros((steps + 1, 2 * views, len(states) + 2))  # with two empty states before the first
    variables[0, :, 2] = 1.0
    scale = np.zeros((steps + 1, 2 * views))
    for step, now in enumerate(chance):
        before, after = variables[step], variables[step + 1, :, 2:]
        np.multiply(before[:, :-2], may_skip, out=after)
        after += before[:, 1:-1]
        after += before[:, 2:]
        after *= now
        if step % _RESCALE_STEPS == _RESCALE_STEPS - 1:
            total = np.maximum(after.sum(axis=1), _TINY)
            after /= total[:, None]
            scale[step + 1 :] += np.log(total)
    return _Variables(variables[:, :views, 2:], scale[:, :views], variables[::-1, views:, :1:-1], scale[::-1, views:])
