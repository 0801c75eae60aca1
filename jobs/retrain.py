"""Train a network like the one in use, and use it if it is not worse. For cron, monthly; see jobs/README.md."""

import os
import sys

from digitrec import app, lab, logs, workspace
from digitrec.errors import DigitrecError
from digitrec.settings import Settings
from digitrec.training.loop import Progress


def main() -> int:
    """Train on `DIGITREC_TRAIN_DATA` (default: mnist), compare on its test split, promote."""
    data = os.environ.get("DIGITREC_TRAIN_DATA", "mnist")
    try:
        settings = Settings.load()
        logs.start(settings.log_format)
        with workspace.only_one(settings, "retrain"):
            in_use = app.bundle_of(settings).card
            # What the model in use was not shown, its successor is not shown either: on that the two can be compared.
            leave_out = [one for one in lab.left_out(in_use) if one != data]
            bundle = lab.train(settings, data, in_use.network, epochs=None, seed=0, leave_out=leave_out, progress=_log)
            comparisons = lab.promote(settings, bundle.card.id, force=False, data=data)
    except DigitrecError as why:
        logs.warn(str(why), hint=why.hint)
        return why.exit_code
    logs.event(
        "retrained",
        model=bundle.card.id,
        promoted=not any(one.is_worse for one in comparisons),
        result="; ".join(one.words for one in comparisons),
    )
    return 0


def _log(now: Progress) -> None:
    if now.words:
        logs.event("stage", stage=now.stage, words=now.words)
    if now.done is not None:
        logs.event("epoch", epoch=now.epoch, of=now.epochs, held_out_accuracy=now.done.validation_accuracy)


if __name__ == "__main__":
    sys.exit(main())
