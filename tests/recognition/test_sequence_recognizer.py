"""Sequence recognizer: line crops are scaled to 40 pixels; frames are in pixels of the crop."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitrec.recognition.sequence_recognizer import FRAME_PX, LINE_HEIGHT_PX, add_margin
from tests.recognition.stand_ins import BLANK, SIGNS, Entry, Says, line_by, paper

WIDEST = 640


@given(height=st.integers(1, 300), width=st.integers(1, 2500))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_frames_cover_the_strip_and_no_more(monkeypatch: pytest.MonkeyPatch, height: int, width: int) -> None:
    says = Says((7,))

    frames, step_px = line_by(monkeypatch, says).read(paper(height, width))

    (entry,) = says.lines
    wide = min(WIDEST, max(4, round(width * LINE_HEIGHT_PX / height)))
    assert entry.shape[:2] == (1, LINE_HEIGHT_PX)
    assert entry.shape[2] % 32 == 0
    assert max(64, wide) <= entry.shape[2] < max(65, wide + 32)
    assert frames.shape == (-(-wide // FRAME_PX), SIGNS + 1)
    assert (len(frames) - 1) * step_px < width <= len(frames) * step_px * (1 + 1e-9)


@pytest.mark.parametrize(
    ("shape", "count", "step_px"),
    [
        ((40, 101), 26, 4.0),
        ((80, 203), 26, 203 / 102 * 4),
        ((20, 33), 17, 2.0),
        ((1, 1), 10, 0.1),
        ((1, 2000), 160, 12.5),
        ((2000, 3), 1, 3.0),
    ],
)
def test_a_frame_is_so_many_pixels_of_the_strip(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], count: int, step_px: float
) -> None:
    frames, frame_px = line_by(monkeypatch, Says((7,))).read(paper(*shape))

    assert (len(frames), frame_px) == (count, pytest.approx(step_px))


def test_what_is_left_of_the_network_s_input_is_bare_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    says = Says((7,))

    line_by(monkeypatch, says).read(paper(40, 41, (10, 10, 20)))

    (entry,) = says.lines
    assert entry.shape == (1, LINE_HEIGHT_PX, 64, 1)
    assert entry[0, 10:30, 10:30, 0].max() < -0.5
    assert not entry[0, :, 41:].any()


def test_a_mark_stands_in_the_frame_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def sees_dark(entry: Entry) -> Entry:
        """Sign 1 in every frame of which all is dark down the middle, else blank."""
        is_dark = (entry[0, LINE_HEIGHT_PX // 2, :, 0] < -0.5).reshape(-1, FRAME_PX).all(axis=1)
        frames = np.zeros((1, 1, len(is_dark), SIGNS + 1), np.float32)
        frames[0, 0, np.arange(len(is_dark)), np.where(is_dark, 1, BLANK)] = 1
        return frames

    frames, step_px = line_by(monkeypatch, sees_dark).read(paper(80, 600, (400, 20, 40)))

    (steps,) = np.nonzero(frames[:, 1])
    assert (float(steps[0] * step_px), float((steps[-1] + 1) * step_px)) == (400.0, 440.0)


def test_a_margin_repeats_the_border_pixels() -> None:
    strip = np.tile(np.arange(20, dtype=np.float32)[:, None], (1, 3))

    wider = add_margin(strip, 0.1)

    assert wider.shape == (24, 3)
    assert wider[:, 0].tolist() == [0, 0, *range(20), 19, 19]
