"""Class the components of a page's ink by their height against the median, and join those of one character."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.recognition.components import Component, ConnectedComponents, PageFrame, is_hollow, label_components
from digitrec.recognition.preprocess import Mask, Plane


class CharacterParams(NamedTuple):
    """Thresholds of the classes; lengths are shares of h, the median height of the characters."""

    inked: float = 0.22
    """Ink, 0..1, from which neighbouring pixels belong to one component."""
    clear: float = 0.6
    """Ink, 0..1, that a component has in at least one pixel."""
    most_components: int = 20_000
    """Most components that are used, heaviest first: a page of noise has more."""
    most_characters: int = 5_000
    """Most characters of a page."""
    least_px: int = 5
    """Least height of a component by which h is estimated, pixels."""
    most: float = 0.35
    """Longest side, as a share of the page's, of a component that may be a character beside `fewest` shorter ones."""
    fewest: int = 4
    """Least number of these shorter components, for `most`."""
    legible_px: int = 12
    """Least height of these components, pixels."""
    low: float = 0.55
    """Least height of a character."""
    lowest: float = 0.33
    """Least height of a character that is at least `broad`: a small zero."""
    broad: float = 0.22
    """Least width of a low character."""
    high: float = 2.8
    """Largest height of a character, and of several that touch."""
    wide: float = 9.0
    """Largest width of several characters that touch."""
    dash: float = 2.0
    """Width over height from which a low component is a dash or an underline."""
    dash_height: float = 0.4
    """Largest height of such a component."""
    cut: float = 0.6
    """Height below which a component that the picture's upper or lower edge cuts is no character."""
    overlap: float = 0.5
    """Least overlap across of two strokes of one character, as a share of the narrower."""
    broken: float = 0.13
    """Largest gap between two strokes of one character, one above the other."""
    tallest: float = 1.7
    """Largest height of a character that was joined from several strokes."""
    crop: float = 2.2
    """Width of a picture, over its character's height, below which it is a crop of one character."""
    near: float = 0.2
    """Largest distance of a small component above, below or inside a character that belongs to it."""
    top: float = 0.35
    """Upper part of a character, as a share of its height, beside which a small component is its bar, not a sign."""
    foot: float = 0.65
    """Position down a character, as a share of its height, below which a point stands beside it."""
    point: float = 0.35
    """Longest side of a point or comma."""
    outside: float = 0.06
    """Largest distance of a small component to the left or right of a character that belongs to it."""
    least_small: float = 0.12
    """Length below which a component is a speck."""
    edge: float = 0.3
    """Distance from the margins within which a component may be the sheet's edge."""
    edge_width: float = 0.35
    """Thickness up to which such a component is the edge."""
    hollow: float = 0.15
    """Width of the border that holds a frame, as a share of each side of the frame."""


PARAMS = CharacterParams()


@dataclass(frozen=True, slots=True, eq=False)
class ClassedComponents:
    """Components of a page's ink by class."""

    pieces: ConnectedComponents
    height: float
    """h, pixels; 0.0 without any character."""
    characters: tuple[Component, ...] = ()
    """Each with the strokes that belong to it; from the left."""
    small: tuple[Component, ...] = ()
    """Points, dashes, specks and whatever else is too low for a character."""
    background: tuple[Component, ...] = ()
    """Frames, underlines and whatever else is too large for a character."""


def class_components(ink: Plane, margins: Mask | None) -> ClassedComponents:
    """Class the components of a page's ink.

    Args:
        ink: (h, w), 0.0 = paper, 1.0 = ink.
        margins: what is around the sheet of paper, (h, w); None if the paper fills the picture.
    """
    p = PARAMS
    pieces = label_components(ink > p.inked)
    count = len(pieces.boxes)
    ink_of = ink.ravel()[pieces.pixel_indices]
    mass = np.bincount(pieces.pixel_labels, weights=ink_of, minlength=count)
    is_clear = np.bincount(pieces.pixel_labels[ink_of > p.clear], minlength=count) > 0
    numbers = np.flatnonzero(is_clear)
    numbers = numbers[np.argsort(-mass[numbers], kind="stable")[: p.most_components]]
    components = [_to_component(number, pieces, float(mass[number])) for number in np.sort(numbers).tolist()]
    frames = _find_frames(components, pieces)
    framed = {frame.labels[0] for frame in frames}
    components = [component for component in components if component.labels[0] not in framed]
    on_paper = components if margins is None else [c for c in components if not _touches(c, _widen(margins, 8), pieces)]
    height = median_height(on_paper, ink.shape)
    if not height:
        return ClassedComponents(pieces, 0.0, background=tuple(frames), small=tuple(components))
    characters: list[Component] = []
    small: list[Component] = []
    background = frames
    edge = None if margins is None else _widen(margins, height)
    for component in components:
        if (
            (edge is not None and _is_paper_edge(component, edge, pieces, height))
            or component.height > p.high * height
            or component.width > p.wide * height
        ):
            background.append(component)
        elif _is_dash(component, height):
            (background if component.width > p.dash * height else small).append(component)
        elif _is_high(component, height) and not _is_cut(component, ink.shape, height):
            characters.append(component)
        else:
            small.append(component)
    characters, rest = _split_heaviest(characters, p.most_characters)
    small += rest
    joined = _drop_cut_neighbours(_join_strokes(characters, height), ink.shape)
    joined, rest = _attach_small(joined, small, height)
    return ClassedComponents(pieces, height, tuple(joined), tuple(rest), tuple(background))


def _to_component(number: int, pieces: ConnectedComponents, mass: float) -> Component:
    """Return a component with its box; `mass` is the sum of its ink."""
    left, top, right, bottom = pieces.boxes[number].tolist()
    return Component((number,), left, top, right, bottom, mass)


def median_height(components: Sequence[Component], shape: tuple[int, ...]) -> float:
    """Return the median height of the components that could be characters, weighted by its square.

    In pixels; 0.0 without any.

    Args:
        components: those of the page that are no frames.
        shape: of the page, (h, w).
    """
    p, (rows, columns) = PARAMS, shape
    could_be = [
        component
        for component in components
        if component.height >= PARAMS.least_px and component.width < PARAMS.wide * component.height
    ]
    uncut = [
        component
        for component in could_be
        if component.left > 1 and component.top > 1 and component.right < columns - 1 and component.bottom < rows - 1
    ]
    chosen = uncut or could_be
    short = [component for component in chosen if component.longest <= p.most * max(rows, columns)]
    if sum(component.height >= p.legible_px for component in short) >= p.fewest:
        chosen = short
    heights = np.sort([component.height for component in chosen])
    if not heights.size:
        return 0.0
    weights = np.cumsum(heights.astype(np.float64) ** 2)
    return float(heights[np.searchsorted(weights, weights[-1] / 2)])


def _split_heaviest(components: list[Component], count: int) -> tuple[list[Component], list[Component]]:
    """Return the heaviest components, at most `count`, and the rest."""
    if len(components) <= count:
        return components, []
    ordered = sorted(components, key=lambda component: -component.mass)
    return ordered[:count], ordered[count:]


def _find_frames(components: Sequence[Component], pieces: ConnectedComponents) -> list[Component]:
    """Find the components that are frames: they cover at least three sides of their box, around other components."""
    inner = [component for component in components if component.height >= PARAMS.least_px]
    left, top, right, bottom = (
        np.array([getattr(component, side) for component in inner]) for side in ("left", "top", "right", "bottom")
    )
    frames = []
    for component in components:
        if min(component.width, component.height) < 4 * PARAMS.least_px:
            continue
        is_inside = (left > component.left) & (right < component.right)
        is_inside &= (top > component.top) & (bottom < component.bottom)
        window = np.s_[component.top : component.bottom, component.left : component.right]
        if is_inside.any() and is_hollow(pieces.labels[window] == component.labels[0], PARAMS.hollow):
            frames.append(component)
    return frames


def _widen(margins: Mask, height: float) -> Mask:
    """Return the margins, (h, w), with the paper next to them; `height` is h, pixels."""
    side = 2 * max(2, round(PARAMS.edge * height)) + 1
    return cv2.dilate(margins.view(np.uint8), np.ones((side, side), np.uint8)) > 0


def _touches(component: Component, mask: Mask, pieces: ConnectedComponents) -> bool:
    """Tell whether a component has a pixel in a mask, (h, w)."""
    window = np.s_[component.top : component.bottom, component.left : component.right]
    return bool((mask[window] & (pieces.labels[window] == component.labels[0])).any())


def _is_paper_edge(component: Component, edge: Mask, pieces: ConnectedComponents, height: float) -> bool:
    """Tell whether a component at the sheet's edge is the edge itself or its shadow: thin, or too long."""
    if not _touches(component, edge, pieces):
        return False
    is_thin = min(component.width, component.height) < PARAMS.edge_width * height
    return is_thin or component.longest > PARAMS.tallest * height


def _is_high(component: Component, height: float) -> bool:
    """Tell whether a component is high enough for a character."""
    p = PARAMS
    is_broad = component.width >= p.broad * height
    return component.height >= (p.lowest if is_broad else p.low) * height


def _is_dash(component: Component, height: float) -> bool:
    """Tell whether a component is flat: a dash, an underline."""
    return component.height < PARAMS.dash_height * height and component.width > PARAMS.dash * component.height


def _is_cut(component: Component, shape: tuple[int, ...], height: float) -> bool:
    """Tell whether an edge of the picture leaves too little of a component for a character."""
    rows, columns = shape
    if component.height < PARAMS.cut * height:
        return component.top <= 1 or component.bottom >= rows - 1
    return (component.left <= 0 or component.right >= columns) and component.width < 0.15 * height


def _is_point(component: Component, character: Component, height: float) -> bool:
    """Tell whether a small component beside the foot of a character could be a point or comma."""
    p = PARAMS
    middle_x, middle_y = (component.left + component.right) / 2, (component.top + component.bottom) / 2
    is_outside = middle_x < character.left or middle_x > character.right
    is_low = middle_y > character.top + p.foot * character.height
    return component.longest <= p.point * height and is_outside and is_low


def _join_strokes(characters: Sequence[Component], height: float) -> list[Component]:
    """Join the strokes of one character: those above one another."""
    p, joined = PARAMS, list[Component]()
    bands: dict[int, list[int]] = {}  # of the page, two characters high: only neighbours are compared
    for stroke in sorted(characters, key=lambda component: (component.left, component.top)):
        band = int((stroke.top + stroke.bottom) / (4 * height))
        near = []
        for other in (band - 1, band, band + 1):
            # What ends left of this stroke ends left of all further ones, too.
            bands[other] = [index for index in bands.get(other, ()) if joined[index].right > stroke.left]
            near += bands[other]
        for index in sorted(near):
            if _is_same_character(joined[index], stroke, height):
                joined[index] = joined[index].joined(stroke)
                break
        else:
            bands[band].append(len(joined))
            joined.append(stroke)
    if len(joined) == 2:
        both = joined[0].joined(joined[1])
        if both.width < both.height and joined[0].distance(joined[1]) <= p.broken * both.height:
            return [both]  # a 4 in two strokes; the digits of 11 stand further apart
    return joined


def _is_same_character(stroke: Component, other: Component, height: float) -> bool:
    """Tell whether two strokes stand above one another, and together are not too high."""
    p = PARAMS
    across = min(stroke.right, other.right) - max(stroke.left, other.left)
    down = min(stroke.bottom, other.bottom) - max(stroke.top, other.top)
    both = max(stroke.bottom, other.bottom) - min(stroke.top, other.top)
    is_above = across > p.overlap * min(stroke.width, other.width) and down > -p.broken * height
    return is_above and both < p.tallest * height


def _drop_cut_neighbours(characters: list[Component], shape: tuple[int, ...]) -> list[Component]:
    """On a picture hardly wider than its character, drop those that its left or right edge cuts: the next cell's."""
    rows, columns = shape
    if not 2 <= len(characters) <= 3:
        return characters
    main = max(characters, key=PageFrame(columns, rows).weight)
    if columns >= PARAMS.crop * main.height:
        return characters
    return [other for other in characters if other is main or (other.left > 1 and other.right < columns - 1)]


def _attach_small(
    characters: list[Component], small: Sequence[Component], height: float
) -> tuple[list[Component], list[Component]]:
    """Join small components, such as the bar of a 5, with their character; return the characters and the rest."""
    p, rest = PARAMS, list[Component]()
    boxes = np.array([(c.left, c.top, c.right, c.bottom) for c in characters]).reshape(-1, 4)
    for component in small:
        if not characters or component.longest < p.least_small * height:
            rest.append(component)
            continue
        across = np.maximum(component.left - boxes[:, 2], boxes[:, 0] - component.right)
        down = np.maximum(component.top - boxes[:, 3], boxes[:, 1] - component.bottom)
        distances = np.maximum(np.maximum(across, down), 0)
        nearest = int(distances.argmin())
        character = characters[nearest]
        both = character.joined(component)
        is_top = (component.top + component.bottom) / 2 < character.top + p.top * character.height
        is_above = -across[nearest] > p.overlap * component.width
        limit = p.near if is_above or is_top else p.outside
        if (
            distances[nearest] <= limit * height
            and both.height < max(p.tallest * height, character.height)
            and not _is_point(component, character, height)
        ):
            characters[nearest] = both
            boxes[nearest] = both.left, both.top, both.right, both.bottom
        else:
            rest.append(component)
    return characters, rest
