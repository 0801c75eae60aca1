"""Train a network like the one in use, with what people corrected; use it if it is worse in nothing. For cron."""

import os
import sys
from pathlib import Path

from digitrec import logs
from digitrec.app.retrain import retrain
from digitrec.cli.options import convert_errors
from digitrec.errors import DigitrecError
from digitrec.settings import Settings
from digitrec.training.classifier import TrainingState


def main() -> int:
    """Train on `DIGITREC_TRAIN_DATA` (default: mnist) and the corrections, compare, report, promote."""
    try:
        with convert_errors("retrain", Path()):
            settings = Settings.load()
            logs.configure(settings.log_format)
            done = retrain(settings, os.environ.get("DIGITREC_TRAIN_DATA", "mnist"), _log)
    except DigitrecError as why:
        logs.warning(str(why), hint=why.hint)
        return why.exit_code
    logs.info(
        "retrained",
        model=done.model_id,
        promoted=done.is_promoted,
        result="; ".join(one.words for one in done.comparisons),
        **({"corrections": len(done.pages.train), "report": done.report} if done.report else {}),
    )
    return 0


def _log(now: TrainingState) -> None:
    if now.words:
        logs.info("stage", stage=now.stage, words=now.words)
    if now.done is not None:
        logs.info("epoch", epoch=now.epoch, of=now.epochs, held_out_accuracy=now.done.validation_accuracy)


if __name__ == "__main__":
    sys.exit(main())
