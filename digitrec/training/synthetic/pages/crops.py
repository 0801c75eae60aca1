"""Draw close crops: tiny digits that touch the frame, meters, numbers cut by the edge, thin ones beside a line.

One function draws one kind; its docstring lists the range of every parameter. h is the height of a digit. What all
kinds share is in `simple_pages`.
"""

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.training.synthetic import strokes
from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet, draw_hand, lay_out
from digitrec.training.synthetic.pages.layouts import DrawnPage, draw_writer, number, scan_page, scan_sheet
from digitrec.training.synthetic.pages.paper import Encoded
from digitrec.training.synthetic.pages.truth import Truth, number_lines
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle
from digitrec.training.synthetic.symbols import GlyphSources

_LARGE_PX, _DIGIT_PX = 480, 200
"""A tiny crop is drawn larger and then shrunk: side of the sheet, and height of its digit."""


def tiny(sources: GlyphSources, draws: Parameters, side_px: int) -> DrawnPage:
    """Draw a square crop of one digit, `side_px` wide, that touches the frame on all or some sides.

    All sides touch (margin -0.04 to 0.02 h) on half the crops, on the others each with 70 %, or it has 0.03 to 0.3 h;
    60 % are stretched to the square, up to twice their width. 35 % are binary, 40 % grey, 25 % scans of paper; 60 % of
    the first two light on dark. A fifth has a strip of 0.02 to 0.1 h of a neighbour at a side. Pen 0.06 to 0.2 h.
    """
    text = number(draws, 1, 1)
    line = lay_out(text, sources, draws, gap=0.3, pen=draws.log_uniform("pen_width", 0.06, 0.2))
    large = Sheet.blank(_LARGE_PX, _LARGE_PX)
    middle = _LARGE_PX / 2
    large.write(line, middle - line.width * _DIGIT_PX / 2, middle, _DIGIT_PX, draws.rng)
    ys, xs = (np.flatnonzero(large.ink.max(axis=axis) > 0.3) for axis in (1, 0))
    margins, touch_all = [], draws.happens("touches_all", 0.5)
    for side in ("left", "top", "right", "foot"):
        low, high = (-0.04, 0.02) if touch_all or draws.happens(f"touches_{side}", 0.7) else (0.03, 0.3)
        margins.append(draws.uniform(f"margin_{side}", low, high) * _DIGIT_PX)
    if not touch_all and draws.happens("has_neighbour", 0.4):
        place = 0 if draws.happens("neighbour_left", 0.5) else 2
        strip, free = draws.uniform("strip", 0.02, 0.1) * _DIGIT_PX, draws.uniform("free", 0.05, 0.15) * _DIGIT_PX
        margins[place] = strip + free
        _write_neighbour(large, xs[0] - free if place == 0 else xs[-1] + free, place == 0, sources, draws)
    x0, y0 = max(0, round(xs[0] - margins[0])), max(0, round(ys[0] - margins[1]))
    x1, y1 = round(xs[-1] + 1 + margins[2]), round(ys[-1] + 1 + margins[3])
    crop = _make_square(large.ink[y0:y1, x0:x1], is_stretched=draws.happens("is_stretched", 0.6))
    style = draws.one_of("style", ("binary", "grey", "paper"), (0.35, 0.4, 0.25))
    if style == "paper":
        page = paper.colour(Sheet(crop, np.zeros_like(crop)), draws)
        return scan_page(paper.shrunk(page, side_px), draws, [[text]])
    small = np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA), np.float32)
    file = _encode_grey(small, draws, is_binary=style == "binary")
    return DrawnPage(file, Truth(number_lines([[text]])), draws.values, tuple(draws.source_digits))


def meter(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one printed digit (a quarter: 2 to 6) of a meter or display: blurred, in colour, of low contrast.

    Picture 30 to 120 px high; h 0.5 to 0.92 of it; contrast 20 to 140 levels, dark on light or light on dark; blur
    0.005 to 0.06 h; on half the pictures the edges of the window show.
    """
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.75) else number(draws, 2, 6)
    high = draws.log_uniform("page_px", 30, 120)
    height, cell = high * draws.uniform("height_of_page", 0.5, 0.92), high * draws.uniform("aspect", 0.55, 0.85)
    sheet = Sheet.blank(high, cell * len(text))
    font = int(draws.rng.choice(np.flatnonzero(sources.fonts.kinds == "print")))
    style = HandwritingStyle(0.0, np.deg2rad(draws.rng.normal(0, 2)), draws.rng.uniform(-0.5, 0.8), 0.0, 1.0)
    for place, digit in enumerate(text):
        candidates = sources.by_symbol[digit]
        own = candidates[sources.fonts.font[candidates] == font]
        field = strokes.distance_field(sources.fonts.pictures[draws.rng.choice(own if own.size else candidates)])
        left, top, right, foot = strokes.bounding_box(field)
        scale = min(height / (foot - top), 0.9 * cell / (right - left))
        shift = draws.rng.normal(0, 0.04, 2) * high
        centre = (cell * (place + 0.5) + float(shift[0]), high / 2 + float(shift[1]))
        strokes.write_glyph(sheet.ink, field, style, centre, scale, draws.rng)
    if draws.happens("has_window", 0.5):
        thick = max(1.0, high * draws.uniform("window_line", 0.01, 0.06))
        for place in range(len(text) + 1):
            sheet.rule((cell * place, -2), (cell * place, high + 2), thick)
        for y in (draws.uniform("window_top", -0.02, 0.06) * high, high * draws.uniform("window_foot", 0.94, 1.02)):
            sheet.rule((-2, y), (cell * len(text) + 2, y), thick)
    ground, colour, frame = _meter_colours(draws)
    page = ground + (frame - ground) * sheet.printed[..., None] * np.float32(0.7)
    page = page + (colour - page) * sheet.ink[..., None]
    page = np.asarray(cv2.GaussianBlur(page, (0, 0), max(0.3, draws.uniform("out_of_focus", 0.005, 0.06) * height)))
    return scan_page(np.asarray(page, np.float32), draws, [[text]])


def cut(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a number of 1 to 5 digits and one or two lines above or below it that the picture's edge cuts.

    Of a cut line 5 to 38 % of h is seen, which is not part of what is written, or (a third) 68 to 97 %, which is.
    h 20 to 90 px, lines 1.3 to 2.2 h apart; a quarter of the pages holds cut lines only.
    """
    writer = draw_writer(draws, draws.log_uniform("height", 20, 90))
    height, pitch = writer.height, writer.height * draws.uniform("pitch", 1.3, 2.2)
    has_top = draws.happens("cut_top", 0.5)
    has_foot = not has_top or draws.happens("cut_foot", 0.3)
    has_middle = draws.happens("whole_line", 0.75)
    seen = {side: _share_seen(draws, side) for side in ("top", "foot")}
    texts = {name: number(draws, 1, 5) for name in ("top", "middle", "foot")}
    lines = {name: writer.lay_out(text, sources, draws) for name, text in texts.items()}
    middles = {"top": (seen["top"] - 0.5) * height}
    start = middles["top"] + pitch if has_top else height * draws.uniform("margin", 0.6, 1.5)
    middles["middle"] = start
    last = start + (0.5 * height if has_middle else 0)
    high = last + height * draws.uniform("margin_foot", 0.2, 1)
    if has_foot:
        middles["foot"] = (start if has_middle or has_top else 0.5 * height) + pitch
        high = middles["foot"] + (seen["foot"] - 0.5) * height
    wide = max(line.width for line in lines.values()) * height * draws.uniform("aspect", 1.15, 2)
    sheet = Sheet.blank(high, wide)
    written = []
    for name, is_drawn in (("top", has_top), ("middle", has_middle), ("foot", has_foot)):
        if not is_drawn:
            continue
        left = float(draws.rng.uniform(0.05, 0.9)) * (wide - lines[name].width * height)
        sheet.write(lines[name], left, middles[name], height, draws.rng)
        if name == "middle" or seen[name] > 0.5:
            written.append([texts[name]])
    return scan_sheet(sheet, draws, written)


def thin_edge_1(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a number of 2 to 6 digits that begins or ends with a thin 1 near a frame line or the picture's edge.

    h 20 to 90 px; the 1 is 0.03 to 0.35 h from the line or edge, its stroke 1 px to 0.05 h; the other digits have the
    same pen on half the pages, else 0.06 to 0.14 h. Half the pages have a line from top to foot, 1 px to 0.08 h thick.
    """
    is_first = draws.happens("is_first", 0.5)
    rest = number(draws, 1, 5)
    height = draws.log_uniform("height", 20, 90)
    thin = draws.log_uniform("thin_pen", 1 / height, max(0.05, 1.3 / height))
    pen = thin if draws.happens("same_pen", 0.5) else draws.log_uniform("pen_width", 0.06, 0.14)
    gap, hand = draws.uniform("gap", 0.15, 0.9), draw_hand(draws)
    digit = lay_out("1", sources, draws, gap=gap, pen=thin, hand=hand)
    others = lay_out(rest, sources, draws, gap=gap, pen=max(pen, 1 / height), hand=hand)
    has_line = draws.happens("has_line", 0.5)
    thick = max(1.0, height * draws.uniform("line", 0.01, 0.08))
    away = height * draws.uniform("away", 0.03, 0.35)
    near = away + (thick + height * draws.uniform("behind", 0, 0.3) if has_line else 0)
    far, between = height * draws.uniform("far", 0.15, 1.2), gap * 0.62 * height
    wide = near + (digit.width + others.width) * height + between + far
    high = height * draws.uniform("page_of_height", 1.15, 2.2)
    large = Sheet.blank(high, wide + 2 * height)  # a slanting 1 is wider than it was laid out
    ones = Sheet.blank(*large.shape)
    start = height + (near if is_first else far)
    middle = high / 2 + float(draws.rng.uniform(-0.4, 0.4)) * (high - 1.1 * height)
    digit_left = start if is_first else start + others.width * height + between
    others_left = start + digit.width * height + between if is_first else start
    ones.write(digit, digit_left, middle, height, draws.rng)
    large.write(others, others_left, middle, height, draws.rng)
    columns = np.flatnonzero(ones.ink.max(axis=0) > 0.3)
    np.maximum(large.ink, ones.ink, out=large.ink)
    line_x = columns[0] - away - thick / 2 if is_first else columns[-1] + away + thick / 2
    if has_line:
        large.rule((line_x, -2), (line_x, high + 2), thick, draws.uniform("darkness", 0.4, 1))
    all_columns = np.flatnonzero(large.ink.max(axis=0) > 0.3)
    left = columns[0] - near if is_first else all_columns[0] - far
    right = all_columns[-1] + far if is_first else columns[-1] + near
    sheet = large.part(left, 0, right, high)
    return scan_sheet(sheet, draws, [["1" + rest if is_first else rest + "1"]])


def _write_neighbour(sheet: Sheet, edge: float, is_left: bool, sources: GlyphSources, draws: Parameters) -> None:
    """Write another digit that ends, or begins, at `edge`, pixels from the left."""
    other = lay_out(number(draws, 1, 1), sources, draws, gap=0.3, pen=0.1)
    alone = Sheet.blank(*sheet.shape)
    alone.write(other, sheet.shape[1] / 2 - other.width * _DIGIT_PX / 2, sheet.shape[0] / 2, _DIGIT_PX, draws.rng)
    columns = np.flatnonzero(alone.ink.max(axis=0) > 0.3)
    shift = round(edge - columns[-1]) if is_left else round(edge - columns[0])
    moved = np.roll(alone.ink, shift, axis=1)
    if is_left:
        moved[:, max(0, round(edge) + 1) :] = 0
    else:
        moved[:, : max(0, round(edge))] = 0
    np.maximum(sheet.ink, moved, out=sheet.ink)


def _make_square(ink: Floats, *, is_stretched: bool) -> Floats:
    """Bring a crop to a square: stretched to at most twice its width or height, then padded evenly."""
    height, width = ink.shape
    side = max(height, width)
    size = (min(side, 2 * width), min(side, 2 * height)) if is_stretched else (width, height)
    ink = np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_LINEAR), np.float32)
    more = [(side - length) for length in ink.shape]
    return np.asarray(np.pad(ink, [(pad // 2, pad - pad // 2) for pad in more]), np.float32)


def _encode_grey(ink: Floats, draws: Parameters, *, is_binary: bool) -> Encoded:
    """Encode ink as a grey picture: two levels, or blurred levels with noise; dark on light or light on dark."""
    if is_binary:
        grey = 255 * (ink < draws.uniform("cutoff", 0.35, 0.6)).astype(np.float32)
    else:
        blurred = cv2.GaussianBlur(ink, (0, 0), draws.uniform("soft_px", 0.2, 0.6))
        light, dark = draws.uniform("light", 200, 255), draws.uniform("dark", 0, 80)
        grey = light + (dark - light) * np.minimum(1, np.asarray(blurred) * np.float32(draws.uniform("ink", 0.9, 1.3)))
        grey = grey + draws.rng.normal(0, draws.uniform("noise", 0, 4), grey.shape)
    if draws.happens("is_inverted", 0.6):
        grey = 255 - grey
    picture: Picture = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    is_png = is_binary or draws.happens("png", 0.7)
    return paper.as_file(picture, None if is_png else draws.whole("jpeg_quality", 75, 95))


def _meter_colours(draws: Parameters) -> tuple[Floats, Floats, Floats]:
    """Draw the colours of ground, digits and window, each (3,), 0..255."""
    contrast = draws.uniform("contrast", 20, 140) * (1 if draws.happens("light_on_dark", 0.5) else -1)
    level = draws.uniform("level", 20 + max(0.0, -contrast), 235 - max(0.0, contrast))
    ground = np.clip(level + draws.rng.normal(0, 25, 3), 5, 250)
    colour = np.clip(ground + contrast + draws.rng.normal(0, 0.2 * abs(contrast), 3), 0, 255)
    frame = np.clip(draws.rng.uniform(0, 90) + draws.rng.normal(0, 10, 3), 0, 255)
    return np.asarray(ground, np.float32), np.asarray(colour, np.float32), np.asarray(frame, np.float32)


def _share_seen(draws: Parameters, side: str) -> float:
    is_written = draws.happens(f"written_{side}", 1 / 3)
    return draws.uniform(f"seen_{side}", 0.68, 0.97) if is_written else draws.uniform(f"seen_{side}", 0.05, 0.38)


CROPS: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    "tight_16": partial(tiny, side_px=16),
    "tight_28": partial(tiny, side_px=28),
    "meter": meter,
    "cut": cut,
    "thin_edge_1": thin_edge_1,
}
