"""A model's card in words, for people: `MODEL_CARD.md`."""

from digitrec.classifiers.card import Metric, ModelCard
from digitrec.training import corrections_text, paper_text, plain_text, promise_text

_TEXT = """# {id}

{reads} Made {created_at}.{stopped}

## What it learned from

- {data}: {source}.
- {learned:,} digits fitted the weights, {validated:,} others chose the best epoch ({best_epoch} of {seen}), and
  {calibrated:,} others again were kept from both, to judge it by.
- No digit is in two of these groups, and none is from a test split.
{learned_more}

Command and time:

    {command}

{epochs} epochs asked for, seed {seed}, {seconds:,} seconds. With {versions}.
{corrections}
## How well it reads

Measured with `model.tflite`, which is what the service runs, on pictures it had never seen.

| pictures | right | of | accuracy | 95 % interval |
| --- | --: | --: | --: | --- |
{metrics}

{promises}
## Limits

- A promise holds for writing like the data above. Other scans can be worse: check a few hundred labelled ones of your
  own with `digitrec evaluate`, or set the threshold by them with `digitrec calibrate`.
{limits}
- MNIST was written in the United States, decades ago. Ones with a flag or foot and crossed sevens are rare in it;
  augmentation draws some.
"""


def write(card: ModelCard) -> str:
    """The card as Markdown."""
    about = {key: value for key, value in card.training.items() if key != "corrections"}
    words = paper_text if "stages" in about else plain_text
    about["command"] = about["command"] or "(called from Python)"
    return _TEXT.format(
        **about,
        id=card.id,
        reads=words.reads(card),
        learned_more=words.learned(card),
        corrections=corrections_text.write(card),
        limits=words.LIMITS,
        created_at=card.created_at,
        stopped=" Training was stopped early; these are the best weights until then." if card.interrupted else "",
        best_epoch=card.best_epoch,
        seen=len(card.history),
        seed=card.seed,
        versions=", ".join(f"{name} {version}" for name, version in card.versions.items()),
        metrics="\n".join(_row(metric) for metric in card.metrics),
        promises=promise_text.write(card),
    )


def _row(metric: Metric) -> str:
    interval = f"{metric.low:.2%} to {metric.high:.2%}"
    return f"| {metric.data} | {metric.right:,} | {metric.pictures:,} | {metric.accuracy:.2%} | {interval} |"
