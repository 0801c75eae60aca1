"""Fine-tune a model on corrections: minutes, where a training from scratch takes hours.

The segmentation network stays as it is. The digit classifier is fine-tuned on the data set, new synthetic pages and the
corrections; the sequence recognizer on synthetic lines and those of the corrected pages.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitrec.errors import ModelError, describe_error
from digitrec.models.package import INK_KERAS, INK_TFLITE, KERAS, LINE_KERAS, LINE_TFLITE, ModelPackage
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.segmenter import Segmenter
from digitrec.reports.statistics import mcnemar
from digitrec.training import correction_examples, export, sequence_recognizer
from digitrec.training.checkpoints import Checkpoints
from digitrec.training.classifier import (
    ExtraExamples,
    Splits,
    TrainingState,
    fit_classifier,
    no_progress,
    report_items,
    split_dataset,
)
from digitrec.training.correction_examples import LabelledCrops
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import CLASSIFIERS, ClassifierSpec, Model, build_sequence_recognizer
from digitrec.training.package_writer import write_model_package
from digitrec.training.pipeline_examples import Examples, augment_examples, extra_examples, render_and_extract
from digitrec.training.pretraining import LINE_INPUT_SHAPE, PretrainedModels
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.generate import LineExamples
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import PREPROCESSING_VERSION

_PAGES, _PAGES_HELD_OUT, _LINES, _LINES_HELD_OUT, _AUGMENTED = range(11, 16)
"""Second seed of each kind of data, different from those of `pretraining`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Amounts of synthetic data and training steps; docs/dev/decisions/009 has the source."""

    epochs: int = 1
    steps: int = 600  # batches per epoch of the digit classifier; its learning rate falls to zero over them
    rate: float = 2e-4  # learning rate, a tenth of the one of a training from scratch: with more the network forgets
    pages: int = 12_000
    pages_held_out: int = 1_200
    lines: int = 8_000
    lines_held_out: int = 1_000
    line_epochs: int = 1
    line_rate: float = 5e-4
    evaluation_pages: int = 4_000


@dataclass(frozen=True, slots=True)
class CorrectionParams:
    """Weight of corrections among the training data; docs/dev/decisions/009 has the source."""

    held_out_of_new_data: float = 0.5
    """Share held out of a data set that is new to the model: it is small, and an error guarantee takes many digits."""
    batch_share: float = 0.15  # largest share of a batch that is from corrections
    max_repeats: int = 60  # most repetitions of a picture of the corrections
    line_copies: int = 8  # augmented copies of each line crop
    max_lines: int = 6_000  # most augmented copies of all line crops


DEFAULT_CONFIG = FinetuneConfig()
PARAMS = CorrectionParams()


@dataclass(frozen=True, slots=True)
class _FinetuneContext:
    base_model: ModelPackage
    splits: Splits
    config: FinetuneConfig
    checkpoints: Checkpoints
    progress: Callable[[TrainingState], None]

    @property
    def seed(self) -> int:
        """Return the seed of the base model's training."""
        return self.base_model.card.seed

    def sources(self, split: Split) -> GlyphSources:
        """Return the sources of synthetic data for a split."""
        return GlyphSources.from_digits(split.pictures, split.digits, glyphs.load_glyphs())


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
    """Fine-tune a copy of a model and write it as a new folder below `out_root`.

    Args:
        base_model: the model to start from.
        dataset: data that the base model was trained on, split the same way: the same digits stay held out.
        pages: crops of the corrected pages, from `extract_labelled_crops`.
        out_root: folder of the models.
        now: returns the time as text.
        corrections: facts about the corrections, for the card.
        is_new: the base model was not trained on `dataset`.
        test_splits: further data, by name, whose accuracy goes into the card.
        config: amounts and steps.
        progress: called after each batch and each epoch.
        command: command line, for the card.
        checkpoint_dir: folder of generated pages, reused by the next fine-tuning.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        ModelError: the base model lacks its Keras weights, or its network is no longer known.
    """
    started_s = time.monotonic()
    card = base_model.card
    if card.network not in CLASSIFIERS:
        raise ModelError(
            f"the network {card.network!r} of {card.id} cannot be fine-tuned: this version does not know it"
        )
    base_model.path(KERAS)
    spec = replace(CLASSIFIERS[card.network], learning_rate=config.rate)
    splits = split_dataset(dataset, card.seed, *([PARAMS.held_out_of_new_data] if is_new else []))
    key = {"version": "going on", "recipe": PREPROCESSING_VERSION, "data": dataset.digest, "seed": card.seed}
    context = _FinetuneContext(base_model, splits, config, Checkpoints.open(checkpoint_dir, key), progress)
    start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    examples = correction_examples.digit_examples(pages)
    pretrained: PretrainedModels | None = None
    extra: list[ExtraExamples] = [*oversample(spec, examples, config.epochs * config.steps)]
    validation, facts = Examples(examples.pictures[:0], examples.classes[:0]), dict(corrections)
    if spec.has_page_models:
        pretrained, line_facts = _prepare_page_models(context, pages)
        facts |= line_facts
        extra += extra_examples(spec, pretrained.examples, glyphs.load_glyphs())
        # Corrections also choose the best epoch; otherwise it would be the one that forgets least.
        validation = pretrained.held_out + examples
    model = _load_network(base_model, KERAS, spec.build, card.seed)
    own = spec.batch - sum(mixed.per_batch for mixed in extra)
    order = np.random.default_rng([card.seed, _AUGMENTED]).permutation(len(splits.train))
    fitted = fit_classifier(
        model,
        spec,
        replace(splits, train=splits.train.take(np.resize(order, own * config.steps))),
        epochs=config.epochs,
        seed=card.seed,
        progress=progress,
        extra=extra,
        extra_validation=(from_arrays(validation.pictures), validation.classes),
    )
    model.set_weights(fitted.weights)
    test_splits = test_splits or {}
    return write_model_package(
        model,
        fitted,
        dataset=dataset,
        splits=splits,
        network=card.network,
        seed=card.seed,
        out_root=out_root,
        created_at=now(),
        training={
            "epochs": config.epochs,
            "seconds": round(time.monotonic() - started_s),
            "command": command,
            "left_out": [*([f"the test split of {dataset.name}"] if dataset.test else []), *test_splits],
            "corrections": {**facts, "examples": len(examples), "went_on_from": card.id},
        },
        test_splits=test_splits,
        pretrained=pretrained,
        progress=progress,
    )


def _prepare_page_models(
    context: _FinetuneContext, corrected: Sequence[LabelledCrops]
) -> tuple[PretrainedModels, Mapping[str, Any]]:
    """Return the page models with new examples, and facts about the fine-tuning of the sequence recognizer."""
    base_model, config, splits, seed = context.base_model, context.config, context.splits, context.seed
    files = {name: base_model.read_file(name) for name in (INK_KERAS, INK_TFLITE, LINE_KERAS, LINE_TFLITE)}
    line, facts = _finetune_sequence_recognizer(context, correction_examples.line_examples(corrected))
    if line is not None:
        files[LINE_KERAS] = export.to_keras_bytes(line)
        files[LINE_TFLITE] = export.to_tflite_bytes(line, LINE_INPUT_SHAPE, "line")
    network = Segmenter(files[INK_TFLITE], INK_TFLITE)
    asked = {"drawn": config.pages, "ink": base_model.card.files[INK_TFLITE]}
    if (checkpoint := context.checkpoints.load_examples("seen", asked)) is not None:
        examples = checkpoint[0]
    else:
        examples = render_and_extract(
            context.sources(splits.train),
            network,
            config.pages,
            (seed, _PAGES),
            on_progress=report_items(context.progress, "pages"),
        )
        page_facts = {"drawn": config.pages, "examples": len(examples), "asked": asked}
        context.checkpoints.save_examples("seen", examples, page_facts)
    held_out = render_and_extract(
        context.sources(splits.validation), network, config.pages_held_out, (seed, _PAGES_HELD_OUT)
    )
    classifier = _load_network(base_model, KERAS, CLASSIFIERS[base_model.card.network].build, 0)
    weights = base_model.card.weights - int(classifier.count_params())
    stages = base_model.card.training["stages"]
    pretrained = PretrainedModels(
        files, weights, examples, held_out, config.evaluation_pages, stages, interrupted=False
    )
    return pretrained, facts


def _finetune_sequence_recognizer(
    context: _FinetuneContext, corrected: LineExamples
) -> tuple[Model | None, Mapping[str, Any]]:
    """Return the fine-tuned recognizer, and facts; None without corrected lines, or if it got significantly worse."""
    config, splits, seed = context.config, context.splits, context.seed
    repeated = repeat_lines(corrected, (seed, _AUGMENTED))
    if not len(repeated):
        return None, {"line": "`line` stayed as it was: the corrections hold no text line to train it on"}
    synthetic = generate.generate_lines(
        context.sources(splits.train), config.lines, (seed, _LINES), on_progress=report_items(context.progress, "lines")
    )
    held_out = generate.generate_lines(
        context.sources(splits.validation), config.lines_held_out, (seed, _LINES_HELD_OUT)
    )
    base = _load_network(context.base_model, LINE_KERAS, build_sequence_recognizer, seed)
    weights, base_right = base.get_weights(), sequence_recognizer.find_correct_lines(base, held_out)
    trained = sequence_recognizer.fit_sequence_recognizer(
        synthetic + repeated,
        held_out,
        epochs=config.line_epochs,
        seed=seed,
        progress=context.progress,
        initial_weights=weights,
        peak_rate=config.line_rate,
    )
    tuned_right = sequence_recognizer.find_correct_lines(trained.model, held_out)
    result = mcnemar(base_right, tuned_right, "synthetic lines")
    figures = (
        f"it reads {result.candidate_right:,} of {result.pictures:,} held-out synthetic lines correctly, "
        f"before {result.current_right:,}"
    )
    if result.is_worse:
        return None, {"strips": len(corrected), "line": f"`line` stayed as it was: fine-tuned, {figures}"}
    return trained.model, {"strips": len(corrected), "line": f"`line` was fine-tuned, too: {figures}"}


def _load_network(base_model: ModelPackage, name: str, build: Callable[[], Model], seed: int) -> Model:
    """Build a network and load the weights of one of the base model's files."""
    import keras

    base_model.read_file(name)  # compares the digest
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build()
    try:
        model.set_weights(keras.saving.load_model(base_model.path(name), compile=False, safe_mode=True).get_weights())
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ModelError(
            f"{base_model.path(name)} does not hold the network it should: {describe_error(error)}"
        ) from None
    return model


def oversample(spec: ClassifierSpec, corrections: Examples, steps: int) -> Sequence[ExtraExamples]:
    """Return the corrections to mix into every batch, few enough that none of them is repeated too often.

    A network with ten classes gets no examples of non-digits.
    """
    if not spec.has_page_models:
        is_digit = corrections.classes != NO_DIGIT
        corrections = Examples(corrections.pictures[is_digit], corrections.classes[is_digit])
    if not len(corrections):
        return []
    per_batch = min(round(spec.batch * PARAMS.batch_share), round(PARAMS.max_repeats * len(corrections) / steps))
    return [ExtraExamples(corrections.pictures, corrections.classes, max(1, per_batch), augment_examples)]


def repeat_lines(lines: LineExamples, seed: Sequence[int]) -> LineExamples:
    """Return several copies of each line crop, a few thousand at most; the training changes each one differently."""
    rng = np.random.default_rng(seed)
    count = min(len(lines) * PARAMS.line_copies, PARAMS.max_lines)
    indices: list[int] = np.resize(rng.permutation(len(lines)), count).tolist() if count else []
    return LineExamples([lines.levels[index] for index in indices], [lines.texts[index] for index in indices])
