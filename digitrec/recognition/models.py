"""Models whose input is the page itself."""

from dataclasses import dataclass
from typing import Self

from digitrec.models.package import INK_TFLITE, LINE_TFLITE, ModelPackage
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer


@dataclass(frozen=True, slots=True)
class RecognitionModels:
    """Models whose input is the page itself."""

    segmenter: Segmenter
    recognizer: SequenceRecognizer

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load the models from a model folder that has them.

        Raises:
            ModelError: one cannot be run.
        """
        name = bundle.card.id
        return cls(
            Segmenter(bundle.read_file(INK_TFLITE), f"{INK_TFLITE} of {name}"),
            SequenceRecognizer(bundle.read_file(LINE_TFLITE), f"{LINE_TFLITE} of {name}"),
        )
