"""The classifier the service runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import digitrec
from digitrec.errors import ModelError
from digitrec.recognition.classifier import apply_temperature
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier

pytestmark = pytest.mark.slow

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


@pytest.mark.parametrize("content", [b"", b"no network", b"\0" * 5000, b"TFL3" * 1000])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError):
        LiteRTDigitClassifier(content, "broken", 1.0)


def test_a_cut_off_network_is_refused() -> None:
    content = (SHIPPED / "model.tflite").read_bytes()

    with pytest.raises(ModelError):
        LiteRTDigitClassifier(content[:1000], "broken", 1.0)


def test_scoring_imports_no_heavy_library_and_prints_nothing() -> None:
    program = (
        "import sys, numpy, pathlib\n"
        "from digitrec.models.package import ModelPackage\n"
        "from digitrec.recognition.classifier_litert import LiteRTDigitClassifier\n"
        "from digitrec.models.registry import ModelRegistry\n"
        "folder = ModelRegistry(pathlib.Path('/nowhere'), pathlib.Path(sys.argv[1])).current()\n"
        "LiteRTDigitClassifier.load(ModelPackage.open(folder)).score(numpy.zeros((2, 28, 28), numpy.float32))\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'pandas', 'sklearn', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )

    done = subprocess.run([sys.executable, "-c", program, str(SHIPPED)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_temperature_softens_without_changing_the_answer() -> None:
    scores = np.random.default_rng(0).dirichlet(np.full(10, 0.1), 500).astype(np.float32)

    soft, sharp = apply_temperature(scores, 2.0), apply_temperature(scores, 0.5)

    np.testing.assert_array_equal(soft.argmax(axis=1), scores.argmax(axis=1))
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, atol=1e-6)
    assert (soft.max(axis=1) <= scores.max(axis=1) + 1e-6).all()
    assert (sharp.max(axis=1) >= scores.max(axis=1) - 1e-6).all()
