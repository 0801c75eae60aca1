"""What comes before the digits' network in a training for paper: the ink network, the line network, and drawn pages."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from digitrec.recognition.segmenter import SIDE, InkNetwork
from digitrec.recognition.sequence_recognizer import HEIGHT
from digitrec.training import export, pipeline_examples, segmenter, sequence_recognizer, synthetic_evaluation
from digitrec.training.checkpoints import Facts, Kept
from digitrec.training.classifier import Parts, Progress
from digitrec.training.fit_loop import Trained
from digitrec.training.networks import Model, ink_network, line_network
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import Sources
from digitrec.types import RECIPE

VERSION = 6
"""Raise it when what is drawn, or how it is learned from, changes: what was kept before then is of no use."""

_INK_SHAPE = (1, SIDE, SIDE)
LINE_SHAPE = (1, HEIGHT, 192, 1)
"""LiteRT makes room for other widths when it meets them."""
_LATER_RATE = 2e-3
"""The highest learning rate of the line network's later rounds."""
_CROPS, _CROPS_HELD_OUT, _STRIPS, _STRIPS_HELD_OUT, _PAGES, _PAGES_HELD_OUT = range(1, 7)
"""Seeds of their own, beside the training's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How much is drawn, and how often it is seen."""

    crops: int = 160_000
    crops_held_out: int = 2_000
    ink_epochs: int = 14
    line_rounds: tuple[tuple[int, int], ...] = ((110_000, 5), (110_000, 6), (240_000, 4), (260_000, 3))
    """Strips and epochs of each round, every one of other strips: from the second on, the network goes on from what it
    was (Loshchilov 2017)."""
    strips_held_out: int = 3_000
    pages: int = 60_000
    pages_held_out: int = 1_200
    """As many examples, or half as many again, as there are held-out digits in MNIST."""
    pages_judged: int = synthetic_evaluation.PAGES
    """What the model may promise is found with these, once it is trained; fewer, if too few digits are held out."""


USUAL = Recipe()


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What the stages before the digits' network leave."""

    files: Mapping[str, bytes]
    """`ink` and `line`, as `.keras` and as `.tflite`."""
    weights: int
    """Of both networks."""
    seen: Examples
    held_out: Examples
    """Of pages with digits that nothing was fitted to."""
    pages_judged: int
    """How many pages show what the finished model may promise, as the recipe says."""
    stages: Mapping[str, Facts]
    """How each stage went, for the card."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every stage needs."""

    learn: Sources
    validate: Sources
    seed: int
    recipe: Recipe
    kept: Kept
    progress: Callable[[Progress], None]

    def told(self, what: str) -> ProgressCallback:
        """Passes on how much is drawn."""
        return lambda done, total: self.progress(Progress(1, 1, done, total, 0.0, 0.0, stage=what))

    def say(self, stage: str, words: str) -> None:
        """Tell people a line."""
        self.progress(Progress(1, 1, 1, 1, 0.0, 0.0, stage=stage, words=words))


def prepare(
    parts: Parts,
    *,
    digest: str,
    seed: int,
    recipe: Recipe,
    root: Path | None,
    progress: Callable[[Progress], None],
) -> Prepared:
    """Train both networks and look at drawn pages, taking over whatever the same training did before.

    KeyboardInterrupt ends the training of a network with its best weights until then, which are not kept on disk; while
    something is drawn it ends everything.

    Args:
        parts: digits to draw from: to learn, and to validate.
        digest: of the data set.
        seed: of everything drawn and learned.
        recipe: how much of it.
        root: where results are kept, or None.
        progress: told of everything.

    Raises:
        ModelError: something kept there cannot be used.
    """
    fonts = glyphs.load()
    key = {"version": VERSION, "recipe": RECIPE, "data": digest, "seed": seed}
    desk = _Desk(
        Sources.of(parts.learn.pictures, parts.learn.digits, fonts),
        Sources.of(parts.validate.pictures, parts.validate.digits, fonts),
        seed,
        recipe,
        Kept.of(root, key),
        progress,
    )
    if desk.kept.folder is not None:
        desk.say("paper", f"what is finished is kept in {desk.kept.folder}")
    asked = {"drawn": recipe.crops, "held_out": recipe.crops_held_out, "epochs": recipe.ink_epochs}
    ink, ink_facts, ink_cut = _network(desk, segmenter.NAME, ink_network, asked, _trained_ink)
    strips, epochs = (sum(each) for each in zip(*recipe.line_rounds, strict=True))
    asked = {"drawn": strips, "held_out": recipe.strips_held_out, "epochs": epochs}
    line, line_facts, line_cut = _network(desk, sequence_recognizer.NAME, line_network, asked, _trained_line)
    files = {
        "ink.keras": export.keras_file(ink),
        "ink.tflite": export.tflite_file(ink, _INK_SHAPE, "ink"),
        "line.keras": export.keras_file(line),
        "line.tflite": export.tflite_file(line, LINE_SHAPE, "line"),
    }
    finder = InkNetwork(files["ink.tflite"], "ink.tflite")
    pages, page_facts = _seen(desk, finder, _weights_digest(ink), keep=not ink_cut)
    held_out = pipeline_examples.render_and_extract(
        desk.validate, finder, recipe.pages_held_out, (seed, _PAGES_HELD_OUT)
    )
    return Prepared(
        files,
        int(ink.count_params() + line.count_params()),
        pages,
        held_out,
        recipe.pages_judged,
        {"ink": ink_facts, "line": line_facts, "pages": page_facts},
        ink_cut or line_cut,
    )


def _network(
    desk: _Desk,
    name: str,
    build: Callable[[], Model],
    asked: Facts,
    train: Callable[[_Desk], tuple[Trained, float]],
) -> tuple[Model, Facts, bool]:
    """A network, kept or trained now; how that went; whether it was cut short."""
    if (known := desk.kept.network(name, build, asked)) is not None:
        desk.say(name, f"{name} network: taken from {desk.kept.folder}")
        return *known, False
    began = time.monotonic()
    trained, drawn_s = train(desk)
    facts = {
        **asked,
        "epochs": trained.epochs,
        "score": round(trained.score, 5),
        "seconds": round(time.monotonic() - began),
        "drawing_seconds": round(drawn_s - began),
        "asked": asked,
    }
    if not trained.interrupted:
        desk.kept.keep_network(name, trained.model, facts)
    return trained.model, facts, trained.interrupted


def _trained_ink(desk: _Desk) -> tuple[Trained, float]:
    """The network, and when all was drawn."""
    recipe = desk.recipe
    crops = generate.crops(desk.learn, recipe.crops, (desk.seed, _CROPS), told=desk.told("crops"))
    held_out = generate.crops(desk.validate, recipe.crops_held_out, (desk.seed, _CROPS_HELD_OUT))
    drawn_s = time.monotonic()
    trained = segmenter.fit_ink(crops, held_out, epochs=recipe.ink_epochs, seed=desk.seed, progress=desk.progress)
    return trained, drawn_s


def _trained_line(desk: _Desk) -> tuple[Trained, float]:
    recipe = desk.recipe
    held_out = generate.strips(desk.validate, recipe.strips_held_out, (desk.seed, _STRIPS_HELD_OUT))
    drawn_s = time.monotonic()
    trained: Trained | None = None
    finished = 0
    for number, (count, epochs) in enumerate(recipe.line_rounds):
        began = time.monotonic()
        other = (number + 1,) if number else ()
        strips = generate.strips(desk.learn, count, (desk.seed, _STRIPS, *other), told=desk.told("strips"))
        drawn_s += time.monotonic() - began
        trained = sequence_recognizer.fit_line(
            strips,
            held_out,
            epochs=epochs,
            seed=desk.seed + number,
            progress=desk.progress,
            start=trained.model.get_weights() if trained else None,
            peak_rate=_LATER_RATE if trained else sequence_recognizer.PEAK_RATE,
        )
        finished += trained.epochs
        if trained.interrupted:
            break
    if trained is None:
        raise ValueError("a line network needs a round of training at least")
    return replace(trained, epochs=finished), drawn_s


def _seen(desk: _Desk, finder: InkNetwork, made_with: str, *, keep: bool) -> tuple[Examples, Facts]:
    name = "seen"
    asked = {"drawn": desk.recipe.pages, "ink": made_with}
    if (known := desk.kept.examples(name, asked)) is not None:
        desk.say("pages", f"pages: taken from {desk.kept.folder}")
        return known
    began = time.monotonic()
    found = pipeline_examples.render_and_extract(
        desk.learn, finder, desk.recipe.pages, (desk.seed, _PAGES), told=desk.told("pages")
    )
    seconds = round(time.monotonic() - began)
    facts = {"drawn": desk.recipe.pages, "examples": len(found), "seconds": seconds, "asked": asked}
    if keep:
        desk.kept.keep_examples(name, found, facts)
    return found, facts


def _weights_digest(model: Model) -> str:
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
