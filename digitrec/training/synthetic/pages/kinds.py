"""List the kinds of synthetic pages and draw a page of any of them."""

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from digitrec.training.synthetic.pages.crops import CROPS
from digitrec.training.synthetic.pages.drawing import Parameters
from digitrec.training.synthetic.pages.forms import FORMS
from digitrec.training.synthetic.pages.layouts import DrawnPage
from digitrec.training.synthetic.pages.number_pages import NUMBER_PAGES
from digitrec.training.synthetic.pages.simple_pages import SIMPLE_PAGES
from digitrec.training.synthetic.pages.surroundings import SURROUNDINGS
from digitrec.training.synthetic.symbols import GlyphSources

KINDS: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    **SIMPLE_PAGES,
    **FORMS,
    **NUMBER_PAGES,
    **SURROUNDINGS,
    **CROPS,
}


def draw_page(sources: GlyphSources, kind: str, number: int, seed: int) -> DrawnPage:
    """Draw one page of a kind; it depends on the sources, the seed, the kind and its number only."""
    return KINDS[kind](sources, Parameters(np.random.default_rng((seed, zlib.crc32(kind.encode()), number))))
