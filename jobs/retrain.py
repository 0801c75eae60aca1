"""Fine-tune the model in use with the corrections, and promote the result unless it is worse. For cron."""

import os
import sys
from pathlib import Path

from digitrec import logs
from digitrec.app.retrain import retrain
from digitrec.cli.options import convert_errors, start_logging
from digitrec.errors import DigitrecError
from digitrec.settings import Settings
from digitrec.training.classifier import TrainingState


def main() -> int:
    """Train on `DIGITREC_TRAIN_DATA` (default: mnist) and the corrections, compare, report, promote."""
    try:
        with convert_errors("retrain", Path()):
            settings = Settings.load()
            start_logging(settings)
            result = retrain(settings, os.environ.get("DIGITREC_TRAIN_DATA", "mnist"), _log)
    except DigitrecError as why:
        logs.warning(str(why), hint=why.hint)
        return why.exit_code
    logs.info(
        "retrained",
        model=result.model_id,
        promoted=result.is_promoted,
        result="; ".join(comparison.words for comparison in result.comparisons),
        **({"corrections": len(result.pages.train), "report": result.report} if result.report else {}),
    )
    return 0


def _log(now: TrainingState) -> None:
    if now.words:
        logs.info("stage", stage=now.stage, words=now.words)
    if now.done is not None:
        logs.info("epoch", epoch=now.epoch, of=now.epochs, held_out_accuracy=now.done.validation_accuracy)


if __name__ == "__main__":
    sys.exit(main())
