"""Continues the training of a model with page models on new synthetic data, and writes the result as a new model.

`python -m tools.continue_training --out DIR [--checkpoints DIR]` trains the sequence recognizer and then the classifier
of the shipped model on from their weights; the segmenter stays. The new model is calibrated. With a folder of
checkpoints, a repeated command skips the networks that were finished.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digitrec.app import composition, models
from digitrec.errors import DigitrecError
from digitrec.models.package import INK_KERAS, INK_TFLITE, KERAS, LINE_KERAS, LINE_TFLITE, ModelPackage
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.segmenter import Segmenter
from digitrec.text import format_utc
from digitrec.training import export, pipeline_examples, sequence_recognizer
from digitrec.training.checkpoints import Checkpoints, StageFacts
from digitrec.training.classifier import Splits, TrainingState, fit_classifier, split_dataset
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.networks import CLASSIFIERS, Model, build_sequence_recognizer
from digitrec.training.package_writer import write_model_package
from digitrec.training.pretraining import LINE_INPUT_SHAPE, PretrainedModels
from digitrec.training.synthetic import generate, glyphs, page_strips
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import PREPROCESSING_VERSION

_REPORTED_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    base: ModelPackage
    dataset: Dataset
    splits: Splits
    options: argparse.Namespace
    checkpoints: Checkpoints

    def sources(self, name: str) -> GlyphSources:
        split = getattr(self.splits, name)
        return GlyphSources.from_digits(split.pictures, split.digits, glyphs.load_glyphs())


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, calibrate and write the model; print its folder."""
    options = _parse(arguments)
    try:
        base = ModelPackage.open(options.model)
        excluded = models.excluded_datasets(base.card)
        dataset = registry.load_dataset(options.data)
        for other in excluded:
            dataset = registry.exclude_dataset(dataset, other)
        key = {"base": base.card.id, "recipe": PREPROCESSING_VERSION, **{k: str(v) for k, v in vars(options).items()}}
        run = _Run(
            base, dataset, split_dataset(dataset, base.card.seed), options, Checkpoints.open(options.checkpoints, key)
        )
        line, line_facts = _continue(run, "line", build_sequence_recognizer, _train_line)
        folder = _train_classifier(run, line, line_facts, excluded)
    except DigitrecError as why:
        raise SystemExit(f"{why}. {why.hint}") from None
    print(folder)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, default=composition.SHIPPED_MODELS_DIR, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new model's folder")
    parser.add_argument("--data", default="mnist", help="what the base was trained on, as `digitrec train --data`")
    parser.add_argument("--lines", type=int, default=100_000, help="lines that are drawn alone")
    parser.add_argument("--strip-pages", type=int, default=16_000, help="pages whose numbers are cut out")
    parser.add_argument("--line-epochs", type=int, default=5, help="epochs of the sequence recognizer")
    parser.add_argument("--line-rate", type=float, default=1.5e-3, help="its highest learning rate")
    parser.add_argument("--pages", type=int, default=30_000, help="pages of one character, for the classifier")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the classifier; 0: keep its weights")
    parser.add_argument("--rate", type=float, default=6e-4, help="its highest learning rate")
    parser.add_argument("--evaluation-pages", type=int, default=20_000, help="pages of each calibration set")
    parser.add_argument("--seed", type=int, default=2, help="of the synthetic data and the order of the examples")
    parser.add_argument("--checkpoints", type=Path, help="folder of finished networks")
    return parser.parse_args(arguments)


def _continue(
    run: _Run, name: str, build: Callable[[], Model], train: Callable[[_Run], tuple[Model, StageFacts]]
) -> tuple[Model, StageFacts]:
    """Return a network and its facts, from the checkpoint if there is one."""
    if (checkpoint := run.checkpoints.load_model(name, build, {})) is not None:
        return checkpoint
    model, facts = train(run)
    run.checkpoints.save_model(name, model, {**facts, "asked": {}})
    return model, facts


def _train_line(run: _Run) -> tuple[Model, StageFacts]:
    options, seed = run.options, run.options.seed
    train, held_out = run.sources("train"), run.sources("validation")
    started_s = time.monotonic()
    lines = generate.generate_lines(train, options.lines, (seed, 1))
    lines += generate.generate_strips(train, options.strip_pages, (seed, 2))
    chosen = generate.generate_lines(held_out, 1_500, (seed, 3)) + generate.generate_strips(held_out, 900, (seed, 4))
    drawing_s = time.monotonic() - started_s
    trained = sequence_recognizer.fit_sequence_recognizer(
        lines,
        chosen,
        epochs=options.line_epochs,
        seed=seed,
        progress=_print_progress,
        initial_weights=_load_network(run.base, LINE_KERAS).get_weights(),
        peak_rate=options.line_rate,
    )
    before = run.base.card.training["stages"]["line"]
    facts = {
        "drawn": before["drawn"] + options.lines,
        "pages": before.get("pages", 0) + options.strip_pages,
        "epochs": before["epochs"] + options.line_epochs,
        "held_out": len(chosen),
        "score": round(trained.score, 5),
        "seconds": before["seconds"] + round(time.monotonic() - started_s),
        "drawing_seconds": before["drawing_seconds"] + round(drawing_s),
    }
    return trained.model, facts


def _train_classifier(run: _Run, line: Model, line_facts: StageFacts, excluded: Sequence[str]) -> Path:
    options, base, seed = run.options, run.base, run.options.seed
    started_s = time.monotonic()
    segmenter = Segmenter(base.read_file(INK_TFLITE), INK_TFLITE)
    sources = page_strips.add_alternate_forms(run.sources("train"), np.random.default_rng(seed))
    examples = pipeline_examples.render_and_extract(sources, segmenter, options.pages, (seed, 5))
    held_out = pipeline_examples.render_and_extract(run.sources("validation"), segmenter, 1_200, (seed, 6))
    spec = replace(CLASSIFIERS[base.card.network], learning_rate=options.rate)
    model = spec.build()
    model.set_weights(_load_network(base, KERAS).get_weights())
    fitted = fit_classifier(
        model,
        spec,
        run.splits,
        epochs=options.epochs,
        seed=seed,
        progress=_print_progress,
        extra=pipeline_examples.extra_examples(spec, examples, glyphs.load_glyphs()),
        extra_validation=(from_arrays(held_out.pictures), held_out.classes),
    )
    model.set_weights(fitted.weights)
    files = {name: base.read_file(name) for name in (INK_KERAS, INK_TFLITE)}
    files |= {
        LINE_KERAS: export.to_keras_bytes(line),
        LINE_TFLITE: export.to_tflite_bytes(line, LINE_INPUT_SHAPE, "line"),
    }
    segmenter_weights = int(_load_network(base, INK_KERAS).count_params())
    stages = {
        **base.card.training["stages"],
        "line": line_facts,
        "pages": {"drawn": options.pages, "examples": len(examples), "seconds": round(time.monotonic() - started_s)},
    }
    pretrained = PretrainedModels(
        files,
        segmenter_weights + int(line.count_params()),
        examples,
        held_out,
        options.evaluation_pages,
        stages,
        interrupted=fitted.interrupted,
    )
    others = {name: registry.load_dataset(name).evaluation for name in excluded}
    return write_model_package(
        model,
        fitted,
        dataset=run.dataset,
        splits=run.splits,
        network=base.card.network,
        seed=base.card.seed,
        out_root=options.out,
        created_at=format_utc(time.time()),
        training={
            "epochs": options.epochs,
            "seconds": round(time.monotonic() - started_s),
            "command": f"python -m tools.continue_training --data {options.data} --seed {seed}",
            "left_out": base.card.training["left_out"],
            "base": base.card.id,
        },
        test_splits=others,
        pretrained=pretrained,
        progress=_print_progress,
    )


def _load_network(package: ModelPackage, name: str) -> Any:
    import keras

    package.read_file(name)  # compares the digest
    return keras.saving.load_model(package.path(name), compile=False, safe_mode=True)


def _print_progress(state: TrainingState) -> None:
    clock = time.strftime("%H:%M:%S")
    if state.words or state.done is not None:
        print(clock, state.words or state.done, flush=True)
    elif state.step % _REPORTED_STEPS == 0:
        print(clock, f"{state.stage}: step {state.step} of {state.steps}, loss {state.loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
