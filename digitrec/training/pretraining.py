"""Train the page models and generate the page examples, before the digit classifier is trained."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from digitrec.models.package import INK_KERAS, INK_TFLITE, LINE_KERAS, LINE_TFLITE
from digitrec.recognition.segmenter import CROP_PX, Segmenter
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX
from digitrec.training import export, pipeline_examples, segmenter, sequence_recognizer
from digitrec.training.checkpoints import Checkpoints, StageFacts
from digitrec.training.classifier import Splits, TrainingState, report_items
from digitrec.training.fit_loop import TrainedModel
from digitrec.training.networks import Model, build_segmenter, build_sequence_recognizer
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import PREPROCESSING_VERSION

VERSION = 8
"""Raise it when the synthetic data or the training changes: older checkpoints are then ignored."""

_INK_INPUT_SHAPE = (1, CROP_PX, CROP_PX)
LINE_INPUT_SHAPE = (1, LINE_HEIGHT_PX, 192, 1)
"""LiteRT resizes the input for other widths at run time."""
_CROPS, _CROPS_HELD_OUT, _LINES, _LINES_HELD_OUT, _PAGES, _PAGES_HELD_OUT, _STRIPS = range(1, 8)
"""Second seed of each kind of synthetic data; the first one is the training's."""


@dataclass(frozen=True, slots=True)
class LineRound:
    """Examples of one round of the sequence recognizer's training."""

    lines: int
    """Number of lines that are drawn alone."""
    epochs: int
    pages: int = 0
    """Number of pages whose numbers are cut out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrainingConfig:
    """Amounts of synthetic data, and epochs; docs/dev/accuracy.md has the gain of each round of lines."""

    crops: int = 160_000
    crops_held_out: int = 2_000
    segmenter_epochs: int = 14
    line_rounds: tuple[LineRound, ...] = (
        *(LineRound(110_000, 5), LineRound(110_000, 6), LineRound(240_000, 4), LineRound(260_000, 3)),
        LineRound(100_000, 5, pages=16_000),
    )
    """Each with new lines; warm restarts from the second on (Loshchilov 2017)."""
    lines_held_out: int = 3_000
    pages: int = 60_000
    pages_held_out: int = 1_200  # gives as many examples, or half as many again, as there are held-out digits in MNIST
    evaluation_pages: int = 20_000
    """Pages of one digit that calibrate the finished model, and as many of numbers; see `EvaluationPages.of`."""


DEFAULT_CONFIG = PaperTrainingConfig()
QUICK_CONFIG = PaperTrainingConfig(
    crops=10_000,
    crops_held_out=500,
    segmenter_epochs=4,
    line_rounds=(LineRound(9_000, 3), LineRound(4_000, 2, pages=300)),
    lines_held_out=600,
    pages=6_000,
    pages_held_out=300,
    evaluation_pages=800,
)
"""Every stage in about 15 minutes on two cores, to try the training: the model is far less accurate."""
QUICK_EPOCHS = 1
"""Epochs of the digit classifier in such a training."""


@dataclass(frozen=True, slots=True, eq=False)
class PretrainedModels:
    """Page models and page examples, for the training of the digit classifier."""

    files: Mapping[str, bytes]
    """`ink` and `line`, as `.keras` and as `.tflite`."""
    weights: int
    """Number of weights of both networks."""
    examples: Examples
    held_out: Examples
    """Examples of pages with digits of the validation split."""
    evaluation_pages: int
    """Number of pages of one digit that calibrate the finished model, and of numbers."""
    stages: Mapping[str, StageFacts]
    """Facts of each stage, for the model card."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class _TrainContext:
    train: GlyphSources
    validation: GlyphSources
    seed: int
    config: PaperTrainingConfig
    checkpoints: Checkpoints
    progress: Callable[[TrainingState], None]

    def report(self, stage: str, words: str) -> None:
        """Report a line for the user."""
        self.progress(TrainingState(1, 1, 1, 1, 0.0, 0.0, stage=stage, words=words))


def pretrain_paper_models(
    splits: Splits,
    *,
    digest: str,
    seed: int,
    config: PaperTrainingConfig,
    checkpoint_root: Path | None,
    progress: Callable[[TrainingState], None],
) -> PretrainedModels:
    """Train both page models and generate page examples, reusing the checkpoints of the same training.

    KeyboardInterrupt ends the training of a network with its best weights, which get no checkpoint; while data is
    generated, it ends everything.

    Args:
        splits: digits to generate from; `calibration` is not used.
        digest: digest of the data set.
        seed: seed of all synthetic data and trainings.
        config: amounts and epochs.
        checkpoint_root: folder of all checkpoints, or None.
        progress: called with each progress.

    Raises:
        ModelError: a checkpoint cannot be used.
    """
    fonts = glyphs.load_glyphs()
    key = {"version": VERSION, "recipe": PREPROCESSING_VERSION, "data": digest, "seed": seed}
    context = _TrainContext(
        GlyphSources.from_digits(splits.train.pictures, splits.train.digits, fonts),
        GlyphSources.from_digits(splits.validation.pictures, splits.validation.digits, fonts),
        seed,
        config,
        Checkpoints.open(checkpoint_root, key),
        progress,
    )
    if context.checkpoints.folder is not None:
        context.report("paper", f"checkpoints of finished stages are in {context.checkpoints.folder}")
    asked = {"drawn": config.crops, "held_out": config.crops_held_out, "epochs": config.segmenter_epochs}
    ink, ink_facts, is_ink_interrupted = _load_or_train(
        context, segmenter.NAME, build_segmenter, asked, _train_segmenter
    )
    asked = {
        "drawn": sum(part.lines for part in config.line_rounds),
        "pages": sum(part.pages for part in config.line_rounds),
        "held_out": config.lines_held_out,
        "epochs": sum(part.epochs for part in config.line_rounds),
    }
    line, line_facts, is_line_interrupted = _load_or_train(
        context, sequence_recognizer.NAME, build_sequence_recognizer, asked, _train_sequence_recognizer
    )
    files = {
        INK_KERAS: export.to_keras_bytes(ink),
        INK_TFLITE: export.to_tflite_bytes(ink, _INK_INPUT_SHAPE, "ink"),
        LINE_KERAS: export.to_keras_bytes(line),
        LINE_TFLITE: export.to_tflite_bytes(line, LINE_INPUT_SHAPE, "line"),
    }
    network = Segmenter(files[INK_TFLITE], INK_TFLITE)
    examples, page_facts = _load_or_generate_examples(
        context, network, _weights_digest(ink), save=not is_ink_interrupted
    )
    held_out = pipeline_examples.render_and_extract(
        context.validation, network, config.pages_held_out, (seed, _PAGES_HELD_OUT)
    )
    return PretrainedModels(
        files,
        int(ink.count_params() + line.count_params()),
        examples,
        held_out,
        config.evaluation_pages,
        {"ink": ink_facts, "line": line_facts, "pages": page_facts},
        is_ink_interrupted or is_line_interrupted,
    )


def _load_or_train(
    context: _TrainContext,
    name: str,
    build: Callable[[], Model],
    asked: StageFacts,
    train: Callable[[_TrainContext], tuple[TrainedModel, float]],
) -> tuple[Model, StageFacts, bool]:
    """Return a network from its checkpoint or a new training, its facts, and whether it was interrupted."""
    if (checkpoint := context.checkpoints.load_model(name, build, asked)) is not None:
        context.report(name, f"{name} network: taken from {context.checkpoints.folder}")
        return *checkpoint, False
    started_s = time.monotonic()
    trained, generation_s = train(context)
    facts = {
        **asked,
        "epochs": trained.epochs,
        "score": round(trained.score, 5),
        "seconds": round(time.monotonic() - started_s),
        "drawing_seconds": round(generation_s),
        "asked": asked,
    }
    if not trained.interrupted:
        context.checkpoints.save_model(name, trained.model, facts)
    return trained.model, facts, trained.interrupted


def _train_segmenter(context: _TrainContext) -> tuple[TrainedModel, float]:
    """Return the network and the seconds that generating its examples took."""
    config, seed = context.config, context.seed
    started_s = time.monotonic()
    crops = generate.generate_crops(
        context.train, config.crops, (seed, _CROPS), on_progress=report_items(context.progress, "crops")
    )
    held_out = generate.generate_crops(context.validation, config.crops_held_out, (seed, _CROPS_HELD_OUT))
    generation_s = time.monotonic() - started_s
    trained = segmenter.fit_segmenter(
        crops, held_out, epochs=config.segmenter_epochs, seed=seed, progress=context.progress
    )
    return trained, generation_s


def _train_sequence_recognizer(context: _TrainContext) -> tuple[TrainedModel, float]:
    """Return the network and the seconds that generating its examples took."""
    config, seed, params = context.config, context.seed, sequence_recognizer.PARAMS
    started_s = time.monotonic()
    held_out = generate.generate_lines(context.validation, config.lines_held_out, (seed, _LINES_HELD_OUT))
    generation_s = time.monotonic() - started_s
    trained: TrainedModel | None = None
    finished = 0
    for number, part in enumerate(config.line_rounds):
        started_s = time.monotonic()
        round_seed = (number + 1,) if number else ()
        lines = generate.generate_lines(
            context.train, part.lines, (seed, _LINES, *round_seed), on_progress=report_items(context.progress, "lines")
        )
        if part.pages:
            lines += generate.generate_strips(
                context.train, part.pages, (seed, _STRIPS, number), on_progress=report_items(context.progress, "strips")
            )
        generation_s += time.monotonic() - started_s
        trained = sequence_recognizer.fit_sequence_recognizer(
            lines,
            held_out,
            epochs=part.epochs,
            seed=seed + number,
            progress=context.progress,
            initial_weights=trained.model.get_weights() if trained else None,
            peak_rate=params.later_peak_rate if trained else params.peak_rate,
        )
        finished += trained.epochs
        if trained.interrupted:
            break
    if trained is None:
        raise ValueError("the sequence recognizer needs at least one round of training")
    return replace(trained, epochs=finished), generation_s


def _load_or_generate_examples(
    context: _TrainContext, network: Segmenter, weights_digest: str, *, save: bool
) -> tuple[Examples, StageFacts]:
    """Return page examples from the checkpoint, or generate them, and their facts."""
    name, count = "seen", context.config.pages
    asked = {"drawn": count, "ink": weights_digest}
    if (checkpoint := context.checkpoints.load_examples(name, asked)) is not None:
        context.report("pages", f"pages: taken from {context.checkpoints.folder}")
        return checkpoint
    started_s = time.monotonic()
    examples = pipeline_examples.render_and_extract(
        context.train, network, count, (context.seed, _PAGES), on_progress=report_items(context.progress, "pages")
    )
    seconds = round(time.monotonic() - started_s)
    facts = {"drawn": count, "examples": len(examples), "seconds": seconds, "asked": asked}
    if save:
        context.checkpoints.save_examples(name, examples, facts)
    return examples, facts


def _weights_digest(model: Model) -> str:
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
