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
            network = app.bundle_of(settings).card.network
            bundle = lab.train(settings, data, network, epochs=None, seed=0, leave_out=[], progress=_log)
            comparison = lab.promote(settings, bundle.card.id, force=False, data=data)
    except DigitrecError as why:
        logs.warn(str(why), hint=why.hint)
        return why.exit_code
    logs.event("retrained", model=bundle.card.id, result=comparison.words if comparison else "")
    return 0


def _log(now: Progress) -> None:
    if now.words:
        logs.event("stage", stage=now.stage, words=now.words)
    if now.done is not None:
        logs.event("epoch", epoch=now.epoch, of=now.epochs, held_out_accuracy=now.done.validation_accuracy)


if __name__ == "__main__":
    sys.exit(main())
