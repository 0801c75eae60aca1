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

from digitrec.arrays import Picture
from digitrec.errors import ModelError, plain
from digitrec.models.package import INK_TFLITE, KERAS, LINE_TFLITE, Bundle
from digitrec.recognition.classifier import NONE
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.segmenter import InkNetwork
from digitrec.training import compare, correction_examples, export, sequence_recognizer, synthetic_evaluation
from digitrec.training.checkpoints import Kept
from digitrec.training.classifier import Beside, Parts, Progress, cut, fit, quietly
from digitrec.training.correction_examples import Shown
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import BUILDERS, Model, Network, line_network
from digitrec.training.package_writer import write_model
from digitrec.training.pipeline_examples import Examples, augment_examples, extra_examples, render_and_extract
from digitrec.training.stages import LINE_SHAPE, Prepared
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.augment import Dice
from digitrec.training.synthetic.generate import Strips, restored, stored
from digitrec.training.synthetic.symbols import Sources
from digitrec.types import RECIPE

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
class More:
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
    pages_judged: int = synthetic_evaluation.PAGES


USUAL = More()


@dataclass(frozen=True, slots=True)
class _Desk:
    """Arguments that every step of a fine-tuning needs."""

    start: Bundle
    parts: Parts
    more: More
    kept: Kept
    progress: Callable[[Progress], None]

    @property
    def seed(self) -> int:
        """Return the seed of the base model's training."""
        return self.start.card.seed

    def sources(self, part: Split) -> Sources:
        """Return the sources of synthetic data for a split."""
        return Sources.of(part.pictures, part.digits, glyphs.load())

    def told(self, what: str) -> Callable[[int, int], None]:
        """Return a callback that reports how much is drawn."""
        return lambda done, total: self.progress(Progress(1, 1, done, total, 0.0, 0.0, stage=what))


def go_on(
    start: Bundle,
    dataset: Dataset,
    shown: Sequence[Shown],
    *,
    out_root: Path,
    now: Callable[[], str],
    corrections: Mapping[str, Any],
    is_new: bool = False,
    measure: Mapping[str, Split] | None = None,
    more: More = USUAL,
    progress: Callable[[Progress], None] = quietly,
    command: str = "",
    kept: Path | None = None,
) -> Path:
    """Train a model further and write it as another one below `out_root`; the model it goes on from stays as it is.

    Args:
        start: the model it goes on from.
        dataset: what that learned from, cut the same way, so that what it never saw judges this one, too.
        shown: the corrected pages, as `corrected.look` gives them.
        out_root: where model folders lie.
        now: gives the time as text.
        corrections: about them, for the card.
        is_new: the data set is one that `start` never saw.
        measure: further pictures, by name, whose accuracy goes into the card.
        more: how much is drawn and learned.
        progress: told after each batch and each epoch.
        command: what a person typed, for the card.
        kept: where drawn pages are kept for the next time.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        ModelError: `start` lacks the weights to go on from, or is of a kind that is not trained any more.
    """
    began = time.monotonic()
    if start.card.network not in BUILDERS:
        raise ModelError(f"there is no network {start.card.network!r} any more that {start.card.id} could go on as")
    start.path(KERAS)
    network = replace(BUILDERS[start.card.network], learning_rate=more.rate)
    parts = cut(dataset, start.card.seed, _NEW_HELD_OUT) if is_new else cut(dataset, start.card.seed)
    key = {"version": "going on", "recipe": RECIPE, "data": dataset.digest, "seed": start.card.seed}
    desk = _Desk(start, parts, more, Kept.of(kept, key), progress)
    start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    learned = correction_examples.examples(shown)
    prepared: Prepared | None = None
    beside: list[Beside] = [*oversample(network, learned, more.epochs * more.steps)]
    judged_by, facts = Examples(learned.pictures[:0], learned.classes[:0]), dict(corrections)
    if network.reads_paper:
        prepared, line_facts = _prepared(desk, shown)
        facts |= line_facts
        beside += extra_examples(network, prepared.seen, glyphs.load())
        # The corrections choose the best epoch, too: else it would be the one that forgets least.
        judged_by = _together(prepared.held_out, learned)
    model = _with_weights(start, KERAS, network.build, desk.seed)
    own = network.batch - sum(each.of_batch for each in beside)
    order = np.random.default_rng([desk.seed, _VARIED]).permutation(len(parts.learn))
    fitted = fit(
        model,
        network,
        replace(parts, learn=parts.learn.take(np.resize(order, own * more.steps))),
        epochs=more.epochs,
        seed=desk.seed,
        progress=progress,
        beside=beside,
        judged_by=(from_arrays(judged_by.pictures), judged_by.classes),
    )
    model.set_weights(fitted.weights)
    measure = measure or {}
    return write_model(
        model,
        fitted,
        dataset=dataset,
        parts=parts,
        network=start.card.network,
        seed=desk.seed,
        out_root=out_root,
        created_at=now(),
        training={
            "epochs": more.epochs,
            "seconds": round(time.monotonic() - began),
            "command": command,
            "left_out": [*([f"the test split of {dataset.name}"] if dataset.test else []), *measure],
            "corrections": {**facts, "examples": len(learned), "went_on_from": start.card.id},
        },
        measure=measure,
        prepared=prepared,
        progress=progress,
    )


def _prepared(desk: _Desk, shown: Sequence[Shown]) -> tuple[Prepared, Mapping[str, Any]]:
    """Return the page models with fresh examples, and facts about the fine-tuning of the line network."""
    start, more = desk.start, desk.more
    names = ("ink.keras", INK_TFLITE, LINE_KERAS, LINE_TFLITE)
    files = {name: start.content(name) for name in names}
    line, facts = _line(desk, correction_examples.strips(shown))
    if line is not None:
        files |= {LINE_KERAS: export.keras_file(line), LINE_TFLITE: export.tflite_file(line, LINE_SHAPE, "line")}
    finder = InkNetwork(files[INK_TFLITE], INK_TFLITE)
    asked = {"drawn": more.pages, "ink": start.card.files[INK_TFLITE]}
    if (known := desk.kept.examples("seen", asked)) is not None:
        pages = known[0]
    else:
        drawn_from = desk.sources(desk.parts.learn)
        pages = render_and_extract(drawn_from, finder, more.pages, (desk.seed, _PAGES), told=desk.told("pages"))
        desk.kept.keep_examples("seen", pages, {"drawn": more.pages, "examples": len(pages), "asked": asked})
    held_out = render_and_extract(
        desk.sources(desk.parts.validate), finder, more.pages_held_out, (desk.seed, _PAGES_HELD_OUT)
    )
    weights = start.card.weights - int(
        _with_weights(start, KERAS, BUILDERS[start.card.network].build, 0).count_params()
    )
    prepared = Prepared(
        files, weights, pages, held_out, more.pages_judged, start.card.training["stages"], interrupted=False
    )
    return prepared, facts


def _line(desk: _Desk, strips: Strips) -> tuple[Model | None, Mapping[str, Any]]:
    """Fine-tune the line network; None if there are no corrections of lines, or it reads synthetic lines worse then."""
    more, seed = desk.more, desk.seed
    learned = augment_lines(strips, (seed, _VARIED))
    if not len(learned):
        return None, {"line": "`line` stayed as it was: there was no strip for it to learn from"}
    fresh = generate.strips(desk.sources(desk.parts.learn), more.strips, (seed, _STRIPS), told=desk.told("strips"))
    held_out = generate.strips(desk.sources(desk.parts.validate), more.strips_held_out, (seed, _STRIPS_HELD_OUT))
    before = _with_weights(desk.start, LINE_KERAS, line_network, seed)
    weights, was_right = before.get_weights(), sequence_recognizer.read_right(before, held_out)
    trained = sequence_recognizer.fit_line(
        Strips([*fresh.levels, *learned.levels], [*fresh.texts, *learned.texts]),
        held_out,
        epochs=more.line_epochs,
        seed=seed,
        progress=desk.progress,
        start=weights,
        peak_rate=more.line_rate,
    )
    found = compare.not_worse(was_right, sequence_recognizer.read_right(trained.model, held_out), "drawn lines")
    words = (
        f"of {found.pictures:,} held-out drawn lines it read {found.candidate_right:,}, before {found.current_right:,}"
    )
    if found.is_worse:
        return None, {"strips": len(strips), "line": f"`line` stayed as it was: having gone on, {words}"}
    return trained.model, {"strips": len(strips), "line": f"`line` went on, too: {words}"}


def _with_weights(start: Bundle, name: str, build: Callable[[], Model], seed: int) -> Model:
    """Build a network and load the weights of one of the base model's files."""
    import keras

    start.content(name)  # its digest is compared before it is loaded
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build()
    try:
        model.set_weights(keras.saving.load_model(start.path(name), compile=False, safe_mode=True).get_weights())
    except (ValueError, TypeError, OSError, KeyError) as why:
        raise ModelError(f"{start.path(name)} does not hold the network it should: {plain(why)}") from None
    return model


def _together(one: Examples, other: Examples) -> Examples:
    return Examples(np.concatenate([one.pictures, other.pictures]), np.concatenate([one.classes, other.classes]))


def oversample(network: Network, learned: Examples, steps: int) -> Sequence[Beside]:
    """Return the corrections to mix into every batch, few enough that none of them is repeated too often.

    A network with ten classes gets no examples of non-digits.
    """
    if not network.reads_paper:
        is_digit = learned.classes != NONE
        learned = Examples(learned.pictures[is_digit], learned.classes[is_digit])
    of_batch = min(round(network.batch * _OF_CORRECTIONS), round(_SEEN * len(learned) / steps))
    return [Beside(learned.pictures, learned.classes, max(1, of_batch), augment_examples)] if len(learned) else []


def augment_lines(learned: Strips, seed: Sequence[int]) -> Strips:
    """Return several augmented copies of each line crop, as other writing by the same hand; a few thousand at most."""
    dice = np.random.default_rng(seed)
    count = min(len(learned) * _TIMES, _MOST_STRIPS)
    places: list[int] = np.resize(dice.permutation(len(learned)), count).tolist() if count else []
    return Strips([_varied(learned.levels[one], dice) for one in places], [learned.texts[one] for one in places])


def _varied(levels: Picture, dice: Dice) -> Picture:
    """Return a stored line crop sheared, scaled, moved, blurred and with another contrast."""
    height, width = levels.shape
    lean, (across, down) = dice.normal(0.0, 0.1), dice.uniform(0.9, 1.1, 2)
    moved = np.array(
        [
            [across, -lean, lean * (height - 1) / 2 + (1 - across) * width / 2],
            [0.0, down, (1 - down) * height / 2 + dice.uniform(-2.0, 2.0)],
        ]
    )
    paper = restored(levels)  # 0.0 = paper
    varied = cv2.warpAffine(paper, moved, (width, height), flags=cv2.INTER_LINEAR, borderValue=0.0)
    varied = varied * np.float32(dice.uniform(0.75, 1.2))
    varied = varied + dice.standard_normal(varied.shape).astype(np.float32) * np.float32(dice.uniform(0.0, 0.2))
    if dice.random() < 0.3:
        varied = cv2.GaussianBlur(varied, (0, 0), dice.uniform(0.3, 0.8))
    return stored(np.asarray(varied, np.float32))
