"""Go on learning from where a model is, with what people corrected: minutes, where a training from nothing takes hours.

Its ink network stays. The digits' network goes on with digits, freshly drawn pages and the corrections; so does the
line network, with drawn strips and those of the corrected pages: both are asked about a page in doubt.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.errors import ModelError, describe_error
from digitrec.models.package import INK_TFLITE, KERAS, LINE_TFLITE, ModelPackage
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.segmenter import Segmenter
from digitrec.training import compare, correction_examples, export, sequence_recognizer, synthetic_evaluation
from digitrec.training.checkpoints import Checkpoints
from digitrec.training.classifier import (
    ExtraExamples,
    Splits,
    TrainingState,
    fit_classifier,
    no_progress,
    split_dataset,
)
from digitrec.training.correction_examples import LabelledCrops
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import CLASSIFIERS, ClassifierSpec, Model, build_sequence_recognizer
from digitrec.training.package_writer import write_model_package
from digitrec.training.pipeline_examples import Examples, augment_examples, extra_examples, render_and_extract
from digitrec.training.pretraining import LINE_INPUT_SHAPE, PretrainedModels
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.generate import LineExamples, dequantize, quantize
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import PREPROCESSING_VERSION

LINE_KERAS = "line.keras"
_NEW_HELD_OUT = 0.5
"""Share held out of a data set that is new to the model: it is small, and an error guarantee takes many digits."""
_PAGES, _PAGES_HELD_OUT, _STRIPS, _STRIPS_HELD_OUT, _VARIED = range(11, 16)
"""Seeds, different from those of `stages`."""
_OF_CORRECTIONS = 0.15
"""Largest share of a batch that is from corrections."""
_SEEN = 60
"""Most repetitions of a picture of the corrections."""
_TIMES, _MOST_STRIPS = 8, 6_000
"""Augmented copies of each line crop, and their largest number in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Amounts of synthetic data and training steps of a fine-tuning."""

    epochs: int = 1
    steps: int = 600
    """Batches per epoch of the digit classifier; its learning rate falls to zero over them."""
    rate: float = 2e-4
    """Learning rate, a tenth of the one of a training from scratch: with more the network forgets."""
    pages: int = 12_000
    pages_held_out: int = 1_200
    strips: int = 8_000
    strips_held_out: int = 1_000
    line_epochs: int = 1
    line_rate: float = 5e-4
    pages_judged: int = synthetic_evaluation.PAGE_COUNT


DEFAULT_CONFIG = FinetuneConfig()


@dataclass(frozen=True, slots=True)
class _FinetuneContext:
    """Arguments that every step of a fine-tuning needs."""

    start: ModelPackage
    parts: Splits
    config: FinetuneConfig
    kept: Checkpoints
    progress: Callable[[TrainingState], None]

    @property
    def seed(self) -> int:
        """Return the seed of the base model's training."""
        return self.start.card.seed

    def sources(self, part: Split) -> GlyphSources:
        """Return the sources of synthetic data for a split."""
        return GlyphSources.of(part.pictures, part.digits, glyphs.load_glyphs())

    def told(self, what: str) -> Callable[[int, int], None]:
        """Return a callback that reports how much is drawn."""
        return lambda done, total: self.progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage=what))


def finetune(
    base_model: ModelPackage,
    dataset: Dataset,
    pages: Sequence[LabelledCrops],
    *,
    out_root: Path,
    now: Callable[[], str],
    corrections: Mapping[str, Any],
    is_new: bool = False,
    test_splits: Mapping[str, Split] | None = None,
    config: FinetuneConfig = DEFAULT_CONFIG,
    progress: Callable[[TrainingState], None] = no_progress,
    command: str = "",
    checkpoint_dir: Path | None = None,
) -> Path:
    """Train a model further and write it as another one below `out_root`; the model it goes on from stays as it is.

    Args:
        base_model: the model it goes on from.
        dataset: what that learned from, cut the same way, so that what it never saw judges this one, too.
        pages: crops of the corrected pages, from `extract_labelled_crops`.
        out_root: where model folders lie.
        now: gives the time as text.
        corrections: about them, for the card.
        is_new: the data set is one that `base_model` never saw.
        test_splits: further pictures, by name, whose accuracy goes into the card.
        config: how much is drawn and learned.
        progress: told after each batch and each epoch.
        command: what a person typed, for the card.
        checkpoint_dir: where drawn pages are kept for the next time.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        ModelError: `base_model` lacks the weights to go on from, or is of a kind that is not trained any more.
    """
    began = time.monotonic()
    if base_model.card.network not in CLASSIFIERS:
        raise ModelError(
            f"there is no network {base_model.card.network!r} any more that {base_model.card.id} could go on as"
        )
    base_model.path(KERAS)
    network = replace(CLASSIFIERS[base_model.card.network], learning_rate=config.rate)
    parts = (
        split_dataset(dataset, base_model.card.seed, _NEW_HELD_OUT)
        if is_new
        else split_dataset(dataset, base_model.card.seed)
    )
    key = {"version": "going on", "recipe": PREPROCESSING_VERSION, "data": dataset.digest, "seed": base_model.card.seed}
    desk = _FinetuneContext(base_model, parts, config, Checkpoints.of(checkpoint_dir, key), progress)
    start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    learned = correction_examples.digit_examples(pages)
    prepared: PretrainedModels | None = None
    beside: list[ExtraExamples] = [*oversample(network, learned, config.epochs * config.steps)]
    judged_by, facts = Examples(learned.pictures[:0], learned.classes[:0]), dict(corrections)
    if network.has_page_models:
        prepared, line_facts = _prepare_paper_models(desk, pages)
        facts |= line_facts
        beside += extra_examples(network, prepared.seen, glyphs.load_glyphs())
        # The corrections choose the best epoch, too: else it would be the one that forgets least.
        judged_by = _concatenate(prepared.held_out, learned)
    model = _load_network(base_model, KERAS, network.build, desk.seed)
    own = network.batch - sum(each.per_batch for each in beside)
    order = np.random.default_rng([desk.seed, _VARIED]).permutation(len(parts.learn))
    fitted = fit_classifier(
        model,
        network,
        replace(parts, learn=parts.learn.take(np.resize(order, own * config.steps))),
        epochs=config.epochs,
        seed=desk.seed,
        progress=progress,
        beside=beside,
        judged_by=(from_arrays(judged_by.pictures), judged_by.classes),
    )
    model.set_weights(fitted.weights)
    test_splits = test_splits or {}
    return write_model_package(
        model,
        fitted,
        dataset=dataset,
        parts=parts,
        network=base_model.card.network,
        seed=desk.seed,
        out_root=out_root,
        created_at=now(),
        training={
            "epochs": config.epochs,
            "seconds": round(time.monotonic() - began),
            "command": command,
            "left_out": [*([f"the test split of {dataset.name}"] if dataset.test else []), *test_splits],
            "corrections": {**facts, "examples": len(learned), "went_on_from": base_model.card.id},
        },
        test_splits=test_splits,
        prepared=prepared,
        progress=progress,
    )


def _prepare_paper_models(
    desk: _FinetuneContext, shown: Sequence[LabelledCrops]
) -> tuple[PretrainedModels, Mapping[str, Any]]:
    """Return the page models with fresh examples, and facts about the fine-tuning of the line network."""
    start, config = desk.start, desk.config
    names = ("ink.keras", INK_TFLITE, LINE_KERAS, LINE_TFLITE)
    files = {name: start.read_file(name) for name in names}
    line, facts = _finetune_sequence_recognizer(desk, correction_examples.line_examples(shown))
    if line is not None:
        files |= {
            LINE_KERAS: export.to_keras_bytes(line),
            LINE_TFLITE: export.to_tflite_bytes(line, LINE_INPUT_SHAPE, "line"),
        }
    finder = Segmenter(files[INK_TFLITE], INK_TFLITE)
    asked = {"drawn": config.pages, "ink": start.card.files[INK_TFLITE]}
    if (known := desk.kept.examples("seen", asked)) is not None:
        pages = known[0]
    else:
        drawn_from = desk.sources(desk.parts.learn)
        pages = render_and_extract(
            drawn_from, finder, config.pages, (desk.seed, _PAGES), on_progress=desk.told("pages")
        )
        desk.kept.save_examples("seen", pages, {"drawn": config.pages, "examples": len(pages), "asked": asked})
    held_out = render_and_extract(
        desk.sources(desk.parts.validate), finder, config.pages_held_out, (desk.seed, _PAGES_HELD_OUT)
    )
    weights = start.card.weights - int(
        _load_network(start, KERAS, CLASSIFIERS[start.card.network].build, 0).count_params()
    )
    prepared = PretrainedModels(
        files, weights, pages, held_out, config.pages_judged, start.card.training["stages"], interrupted=False
    )
    return prepared, facts


def _finetune_sequence_recognizer(
    desk: _FinetuneContext, strips: LineExamples
) -> tuple[Model | None, Mapping[str, Any]]:
    """Fine-tune the line network; None if there are no corrections of lines, or it reads synthetic lines worse then."""
    config, seed = desk.config, desk.seed
    learned = augment_lines(strips, (seed, _VARIED))
    if not len(learned):
        return None, {"line": "`line` stayed as it was: there was no strip for it to learn from"}
    fresh = generate.generate_lines(
        desk.sources(desk.parts.learn), config.strips, (seed, _STRIPS), on_progress=desk.told("strips")
    )
    held_out = generate.generate_lines(
        desk.sources(desk.parts.validate), config.strips_held_out, (seed, _STRIPS_HELD_OUT)
    )
    before = _load_network(desk.start, LINE_KERAS, build_sequence_recognizer, seed)
    weights, was_right = before.get_weights(), sequence_recognizer.find_correct_lines(before, held_out)
    trained = sequence_recognizer.fit_sequence_recognizer(
        LineExamples([*fresh.levels, *learned.levels], [*fresh.texts, *learned.texts]),
        held_out,
        epochs=config.line_epochs,
        seed=seed,
        progress=desk.progress,
        start=weights,
        peak_rate=config.line_rate,
    )
    found = compare.mcnemar(was_right, sequence_recognizer.find_correct_lines(trained.model, held_out), "drawn lines")
    words = (
        f"of {found.pictures:,} held-out drawn lines it read {found.candidate_right:,}, before {found.current_right:,}"
    )
    if found.is_worse:
        return None, {"strips": len(strips), "line": f"`line` stayed as it was: having gone on, {words}"}
    return trained.model, {"strips": len(strips), "line": f"`line` went on, too: {words}"}


def _load_network(start: ModelPackage, name: str, build: Callable[[], Model], seed: int) -> Model:
    """Build a network and load the weights of one of the base model's files."""
    import keras

    start.read_file(name)  # its digest is compared before it is loaded
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build()
    try:
        model.set_weights(keras.saving.load_model(start.path(name), compile=False, safe_mode=True).get_weights())
    except (ValueError, TypeError, OSError, KeyError) as why:
        raise ModelError(f"{start.path(name)} does not hold the network it should: {describe_error(why)}") from None
    return model


def _concatenate(one: Examples, other: Examples) -> Examples:
    return Examples(np.concatenate([one.pictures, other.pictures]), np.concatenate([one.classes, other.classes]))


def oversample(network: ClassifierSpec, learned: Examples, steps: int) -> Sequence[ExtraExamples]:
    """Return the corrections to mix into every batch, few enough that none of them is repeated too often.

    A network with ten classes gets no examples of non-digits.
    """
    if not network.has_page_models:
        is_digit = learned.classes != NO_DIGIT
        learned = Examples(learned.pictures[is_digit], learned.classes[is_digit])
    of_batch = min(round(network.batch * _OF_CORRECTIONS), round(_SEEN * len(learned) / steps))
    return (
        [ExtraExamples(learned.pictures, learned.classes, max(1, of_batch), augment_examples)] if len(learned) else []
    )


def augment_lines(learned: LineExamples, seed: Sequence[int]) -> LineExamples:
    """Return several augmented copies of each line crop, as other writing by the same hand; a few thousand at most."""
    rng = np.random.default_rng(seed)
    count = min(len(learned) * _TIMES, _MOST_STRIPS)
    places: list[int] = np.resize(rng.permutation(len(learned)), count).tolist() if count else []
    return LineExamples(
        [_augment_line(learned.levels[one], rng) for one in places], [learned.texts[one] for one in places]
    )


def _augment_line(levels: Picture, rng: Generator) -> Picture:
    """Return a stored line crop sheared, scaled, moved, blurred and with another contrast."""
    height, width = levels.shape
    lean, (across, down) = rng.normal(0.0, 0.1), rng.uniform(0.9, 1.1, 2)
    moved = np.array(
        [
            [across, -lean, lean * (height - 1) / 2 + (1 - across) * width / 2],
            [0.0, down, (1 - down) * height / 2 + rng.uniform(-2.0, 2.0)],
        ]
    )
    paper = dequantize(levels)  # 0.0 = paper
    varied = cv2.warpAffine(paper, moved, (width, height), flags=cv2.INTER_LINEAR, borderValue=0.0)
    varied = varied * np.float32(rng.uniform(0.75, 1.2))
    varied = varied + rng.standard_normal(varied.shape).astype(np.float32) * np.float32(rng.uniform(0.0, 0.2))
    if rng.random() < 0.3:
        varied = cv2.GaussianBlur(varied, (0, 0), rng.uniform(0.3, 0.8))
    return quantize(np.asarray(varied, np.float32))
