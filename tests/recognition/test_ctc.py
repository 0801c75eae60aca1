"""What a line says is the text that most of all ways of falling on its frames lead to."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.recognition.ctc import FrameProbs, Text, decode_ctc, decode_greedily, sequence_probabilities

SIGNS = 2
BLANK = SIGNS


def texts_of(length: int) -> list[Text]:
    """All texts over the signs that fit so many frames."""
    return [text for n in range(length + 1) for text in itertools.product(range(SIGNS), repeat=n)]


def collapsed(course: tuple[int, ...]) -> Text:
    """CTC's rule: what stays the same is one sign, and blanks go."""
    return tuple(sign for sign, _ in itertools.groupby(course) if sign != BLANK)


def by_hand(frames: FrameProbs) -> dict[Text, float]:
    """The probability of every text, summed over every course through the frames, one by one."""
    probabilities = dict.fromkeys(texts_of(len(frames)), 0.0)
    for course in itertools.product(range(SIGNS + 1), repeat=len(frames)):
        probabilities[collapsed(course)] += float(np.prod([frames[step, sign] for step, sign in enumerate(course)]))
    return probabilities


@st.composite
def frame_probs(draw: st.DrawFn, longest: int = 5) -> FrameProbs:
    shares = st.floats(0, 1, width=32)
    row = st.lists(shares, min_size=SIGNS + 1, max_size=SIGNS + 1).filter(lambda row: sum(row) > 0.01)
    rows = np.array(draw(st.lists(row, min_size=1, max_size=longest)))
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


@given(frame_probs())
def test_the_probability_of_a_text_is_the_sum_over_alignments(frames: FrameProbs) -> None:
    expected = by_hand(frames)

    probabilities = sequence_probabilities(frames, [*expected])

    np.testing.assert_allclose(probabilities, [*expected.values()], atol=1e-6)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


@given(frame_probs())
def test_the_shortcut_for_single_symbols_gives_equal_values(frames: FrameProbs) -> None:
    expected = by_hand(frames)
    short_texts: list[Text] = [(1,), (), (0,), (1,)]

    probabilities = sequence_probabilities(frames, short_texts)

    np.testing.assert_allclose(probabilities, [expected[text] for text in short_texts], atol=1e-6)
    np.testing.assert_allclose(probabilities, sequence_probabilities(frames, [*short_texts, (0, 1)])[:-1], atol=1e-12)


def test_no_text_at_all_has_no_probability() -> None:
    assert sequence_probabilities(np.full((3, SIGNS + 1), 1 / 3, np.float32), []).shape == (0,)


@given(frame_probs())
def test_a_text_with_more_than_half_the_probability_is_decoded(frames: FrameProbs) -> None:
    chances = by_hand(frames)
    best = max(chances, key=chances.__getitem__)

    line = decode_ctc(frames)

    assert line.probability == pytest.approx(chances[line.text], abs=1e-6)
    assert (
        line.text == best or chances[best] <= 0.5 + 1e-6 or chances[best] == pytest.approx(chances[line.text], abs=1e-6)
    )


@given(frame_probs())
def test_no_single_substitution_is_more_probable(frames: FrameProbs) -> None:
    line = decode_ctc(frames)
    shorter = [(*line.text[:place], *line.text[place + 1 :]) for place in range(len(line.text))]

    rivals = np.append(sequence_probabilities(frames, shorter), line.alternatives)

    assert rivals.max(initial=0.0) <= line.probability + 1e-9


@given(frame_probs())
def test_symbol_positions_are_ordered_and_inside_the_line(frames: FrameProbs) -> None:
    steps = decode_ctc(frames).steps

    assert ((steps >= 0) & (steps <= len(frames) - 1)).all()
    assert (np.diff(steps) > 0).all()


@given(frame_probs())
def test_the_alternatives_of_a_place_hold_the_text_itself(frames: FrameProbs) -> None:
    line = decode_ctc(frames)

    assert line.alternatives.shape == (len(line.text), SIGNS)
    own = line.alternatives[np.arange(len(line.text)), line.text]
    np.testing.assert_allclose(own, line.probability, rtol=1e-9)


def edits_of(text: Text, frames: FrameProbs, allowed: int) -> list[Text]:
    """The text, then each text with one symbol replaced, one or two deleted, or a likely one inserted."""
    likely = np.flatnonzero((frames[:, :allowed] > 0.05).any(axis=0))
    return [
        text,
        *((*text[:place], sign, *text[place + 1 :]) for place in range(len(text)) for sign in range(allowed)),
        *((*text[:place], *text[place + n :]) for n in (1, 2) for place in range(len(text) - n + 1)),
        *((*text[:place], int(sign), *text[place:]) for place in range(len(text) + 1) for sign in likely),
    ]


def decode_by_hand(views: list[FrameProbs], allowed: int) -> tuple[Text, float]:
    """The same search, with the probability of every edit computed on its own."""

    def best_of(texts: list[Text]) -> tuple[Text, float]:
        values = np.mean([sequence_probabilities(view, texts) for view in views], axis=0)
        return texts[int(values.argmax())], float(values.max())

    blank = views[0].shape[1] - 1
    courses = [itertools.groupby(view.argmax(axis=1).tolist()) for view in views]
    greedy = [tuple(sign for sign, _ in course if sign < allowed and sign != blank) for course in courses]
    text, probability = best_of(greedy)
    for _ in range(3):
        if probability > 0.5:
            break
        edited, probability = best_of(edits_of(text, views[0], allowed))
        if edited == text:
            break
        text = edited
    return text, probability


@pytest.mark.parametrize(("seed", "signs", "steps"), [*((seed, 3, 6) for seed in range(60)), (1, 11, 40), (2, 11, 90)])
def test_the_search_equals_one_that_computes_every_edit_on_its_own(seed: int, signs: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    views = [
        rng.dirichlet([rng.choice([0.1, 0.5])] * (signs + 1), int(rng.integers(1, steps + 1))).astype(np.float32)
        for _ in range(1 + seed % 3)
    ]
    for allowed in (signs, signs - 1):
        text, probability = decode_by_hand(views, allowed)

        line = decode_ctc(*views, without=range(allowed, signs))

        assert line.text == text
        assert line.probability == pytest.approx(probability, rel=1e-9)
        replaced = [(*text[:place], sign, *text[place + 1 :]) for place in range(len(text)) for sign in range(signs)]
        expected = [sequence_probabilities(view, replaced) for view in views] if text else [np.zeros(0)]
        np.testing.assert_allclose(line.alternatives.ravel(), np.mean(expected, axis=0), rtol=1e-9, atol=1e-300)


def test_a_long_line_is_corrected_where_two_signs_waver() -> None:
    rng = np.random.default_rng(5)
    signs, text = 11, tuple(int(sign) for sign in rng.integers(0, 10, 60))
    frames = np.full((240, signs + 1), 0.001, np.float32)
    frames[:, -1] = 0.989
    frames[np.arange(1, 240, 4), text] = 0.989
    frames[np.arange(1, 240, 4), -1] = 0.001
    other = (text[40] + 1) % 10
    frames[160:164] = 0.0
    frames[160:164, [text[40], other, -1]] = [[1, 0, 0], [0.47, 0.52, 0.01], [0.51, 0.49, 0], [0, 0.83, 0.17]]

    line = decode_ctc(frames)  # the best of each step are text[40], other, text[40], other

    assert line.text == (*text[:41], other, *text[41:])
    edits = edits_of(line.text, frames, signs)
    rivals = sequence_probabilities(frames, [edits[0], *(edits[index] for index in rng.integers(1, len(edits), 50))])
    assert line.probability == pytest.approx(rivals[0], rel=1e-9)
    assert rivals.max() == rivals[0]


def test_the_same_sign_twice_needs_a_blank_between() -> None:
    together = np.array([[0.9, 0.0, 0.1], [0.9, 0.0, 0.1]], np.float32)
    apart = np.array([[0.9, 0.0, 0.1], [0.1, 0.0, 0.9], [0.9, 0.0, 0.1]], np.float32)

    assert sequence_probabilities(together, [(0, 0)]).tolist() == [0.0]
    assert decode_ctc(together).text == (0,)
    assert decode_ctc(apart).text == (0, 0)
    assert decode_ctc(apart).steps.tolist() == [0.0, 2.0]


def test_a_symbol_probable_only_over_all_frames_is_decoded() -> None:
    frames = np.array([[0.45, 0.0, 0.55]] * 3, np.float32)  # blank is the best of each, (0,) of all

    line = decode_ctc(frames)

    assert line.text == (0,)
    assert line.probability > 1 - 0.55**3 - 0.2


def test_steps_that_waver_between_two_signs_are_no_signs_of_their_own() -> None:
    frames = np.array([[1, 0, 0], [0.47, 0.52, 0.01], [0.51, 0.49, 0], [0, 0.83, 0.17]], np.float32)

    line = decode_ctc(frames)  # the best of each step are 0, 1, 0, 1

    assert line.text == (0, 1)
    assert line.probability > 0.6


def test_a_line_too_short_for_a_text_gives_it_no_probability() -> None:
    blank = np.array([[0.0, 0.0, 1.0]] * 4, np.float32)

    line = decode_ctc(blank)

    assert (line.text, line.probability, line.alternatives.shape, line.steps.shape) == ((), 1.0, (0, SIGNS), (0,))
    assert sequence_probabilities(blank[:1], [(0, 1), (), (1, 0, 1)]).tolist() == [0.0, 1.0, 0.0]
    assert sequence_probabilities(blank, []).shape == (0,)


def test_a_long_line_is_read_without_running_out_of_small_numbers() -> None:
    rng = np.random.default_rng(3)
    text = tuple(int(sign) for sign in rng.integers(0, SIGNS, 60))
    frames = np.full((180, SIGNS + 1), 0.02, np.float32)
    frames[np.arange(180), [sign for symbol in text for sign in (BLANK, symbol, BLANK)]] = 0.96

    line = decode_ctc(frames)

    assert line.text == text
    assert 0 < line.probability < 1
    np.testing.assert_allclose(line.steps, 3 * np.arange(60) + 1, atol=1)


@pytest.mark.parametrize(
    ("best", "text"),
    [([17, 17, 17], ()), ([3, 3, 3], (3,)), ([3, 17, 3], (3, 3)), ([10, 0, 0, 17], (10, 0))],
)
def test_greedy_decoding_merges_repeats_and_drops_blanks(best: list[int], text: tuple[int, ...]) -> None:
    assert decode_greedily(np.eye(18, dtype=np.float32)[best]) == text
