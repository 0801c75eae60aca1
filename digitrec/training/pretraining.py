"""What comes before the digits' network in a training for paper: the ink network, the line network, and drawn pages."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from digitrec.recognition.segmenter import CROP_PX, Segmenter
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX
from digitrec.training import export, pipeline_examples, segmenter, sequence_recognizer, synthetic_evaluation
from digitrec.training.checkpoints import Checkpoints, StageFacts
from digitrec.training.classifier import Splits, TrainingState
from digitrec.training.fit_loop import TrainedModel
from digitrec.training.networks import Model, build_segmenter, build_sequence_recognizer
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import PREPROCESSING_VERSION

VERSION = 6
"""Raise it when what is drawn, or how it is learned from, changes: what was kept before then is of no use."""

_INK_SHAPE = (1, CROP_PX, CROP_PX)
LINE_INPUT_SHAPE = (1, LINE_HEIGHT_PX, 192, 1)
"""LiteRT makes room for other widths when it meets them."""
_LATER_RATE = 2e-3
"""The highest learning rate of the line network's later rounds."""
_CROPS, _CROPS_HELD_OUT, _STRIPS, _STRIPS_HELD_OUT, _PAGES, _PAGES_HELD_OUT = range(1, 7)
"""Seeds of their own, beside the training's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrainingConfig:
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
    pages_judged: int = synthetic_evaluation.PAGE_COUNT
    """What the model may promise is found with these, once it is trained; fewer, if too few digits are held out."""


DEFAULT_CONFIG = PaperTrainingConfig()


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedModels:
    """What the stages before the digits' network leave."""

    files: Mapping[str, bytes]
    """`ink` and `line`, as `.keras` and as `.tflite`."""
    weights: int
    """Of both networks."""
    seen: Examples
    held_out: Examples
    """Of pages with digits that nothing was fitted to."""
    pages_judged: int
    """How many pages show what the finished model may promise, as the config says."""
    stages: Mapping[str, StageFacts]
    """How each stage went, for the card."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class _TrainContext:
    """What every stage needs."""

    learn: GlyphSources
    validate: GlyphSources
    seed: int
    config: PaperTrainingConfig
    kept: Checkpoints
    progress: Callable[[TrainingState], None]

    def told(self, what: str) -> ProgressCallback:
        """Passes on how much is drawn."""
        return lambda done, total: self.progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage=what))

    def say(self, stage: str, words: str) -> None:
        """Tell people a line."""
        self.progress(TrainingState(1, 1, 1, 1, 0.0, 0.0, stage=stage, words=words))


def pretrain_paper_models(
    parts: Splits,
    *,
    digest: str,
    seed: int,
    config: PaperTrainingConfig,
    root: Path | None,
    progress: Callable[[TrainingState], None],
) -> PretrainedModels:
    """Train both networks and look at drawn pages, taking over whatever the same training did before.

    KeyboardInterrupt ends the training of a network with its best weights until then, which are not kept on disk; while
    something is drawn it ends everything.

    Args:
        parts: digits to draw from: to learn, and to validate.
        digest: of the data set.
        seed: of everything drawn and learned.
        config: how much of it.
        root: where results are kept, or None.
        progress: told of everything.

    Raises:
        ModelError: something kept there cannot be used.
    """
    fonts = glyphs.load_glyphs()
    key = {"version": VERSION, "recipe": PREPROCESSING_VERSION, "data": digest, "seed": seed}
    desk = _TrainContext(
        GlyphSources.of(parts.learn.pictures, parts.learn.digits, fonts),
        GlyphSources.of(parts.validate.pictures, parts.validate.digits, fonts),
        seed,
        config,
        Checkpoints.of(root, key),
        progress,
    )
    if desk.kept.folder is not None:
        desk.say("paper", f"what is finished is kept in {desk.kept.folder}")
    asked = {"drawn": config.crops, "held_out": config.crops_held_out, "epochs": config.ink_epochs}
    ink, ink_facts, ink_cut = _load_or_train(desk, segmenter.NAME, build_segmenter, asked, _train_segmenter)
    strips, epochs = (sum(each) for each in zip(*config.line_rounds, strict=True))
    asked = {"drawn": strips, "held_out": config.strips_held_out, "epochs": epochs}
    line, line_facts, line_cut = _load_or_train(
        desk, sequence_recognizer.NAME, build_sequence_recognizer, asked, _train_sequence_recognizer
    )
    files = {
        "ink.keras": export.to_keras_bytes(ink),
        "ink.tflite": export.to_tflite_bytes(ink, _INK_SHAPE, "ink"),
        "line.keras": export.to_keras_bytes(line),
        "line.tflite": export.to_tflite_bytes(line, LINE_INPUT_SHAPE, "line"),
    }
    finder = Segmenter(files["ink.tflite"], "ink.tflite")
    pages, page_facts = _load_or_generate_examples(desk, finder, _weights_digest(ink), keep=not ink_cut)
    held_out = pipeline_examples.render_and_extract(
        desk.validate, finder, config.pages_held_out, (seed, _PAGES_HELD_OUT)
    )
    return PretrainedModels(
        files,
        int(ink.count_params() + line.count_params()),
        pages,
        held_out,
        config.pages_judged,
        {"ink": ink_facts, "line": line_facts, "pages": page_facts},
        ink_cut or line_cut,
    )


def _load_or_train(
    desk: _TrainContext,
    name: str,
    build: Callable[[], Model],
    asked: StageFacts,
    train: Callable[[_TrainContext], tuple[TrainedModel, float]],
) -> tuple[Model, StageFacts, bool]:
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
        desk.kept.save_model(name, trained.model, facts)
    return trained.model, facts, trained.interrupted


def _train_segmenter(desk: _TrainContext) -> tuple[TrainedModel, float]:
    """The network, and when all was drawn."""
    config = desk.config
    crops = generate.generate_crops(desk.learn, config.crops, (desk.seed, _CROPS), on_progress=desk.told("crops"))
    held_out = generate.generate_crops(desk.validate, config.crops_held_out, (desk.seed, _CROPS_HELD_OUT))
    drawn_s = time.monotonic()
    trained = segmenter.fit_segmenter(crops, held_out, epochs=config.ink_epochs, seed=desk.seed, progress=desk.progress)
    return trained, drawn_s


def _train_sequence_recognizer(desk: _TrainContext) -> tuple[TrainedModel, float]:
    config = desk.config
    held_out = generate.generate_lines(desk.validate, config.strips_held_out, (desk.seed, _STRIPS_HELD_OUT))
    drawn_s = time.monotonic()
    trained: TrainedModel | None = None
    finished = 0
    for number, (count, epochs) in enumerate(config.line_rounds):
        began = time.monotonic()
        other = (number + 1,) if number else ()
        strips = generate.generate_lines(
            desk.learn, count, (desk.seed, _STRIPS, *other), on_progress=desk.told("strips")
        )
        drawn_s += time.monotonic() - began
        trained = sequence_recognizer.fit_sequence_recognizer(
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


def _load_or_generate_examples(
    desk: _TrainContext, finder: Segmenter, made_with: str, *, keep: bool
) -> tuple[Examples, StageFacts]:
    name = "seen"
    asked = {"drawn": desk.config.pages, "ink": made_with}
    if (known := desk.kept.examples(name, asked)) is not None:
        desk.say("pages", f"pages: taken from {desk.kept.folder}")
        return known
    began = time.monotonic()
    found = pipeline_examples.render_and_extract(
        desk.learn, finder, desk.config.pages, (desk.seed, _PAGES), on_progress=desk.told("pages")
    )
    seconds = round(time.monotonic() - began)
    facts = {"drawn": desk.config.pages, "examples": len(found), "seconds": seconds, "asked": asked}
    if keep:
        desk.kept.save_examples(name, found, facts)
    return found, facts


def _weights_digest(model: Model) -> str:
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
