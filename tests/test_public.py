"""`import digitrec`: what it exports, and that it loads nothing before it is used."""

import subprocess
import sys

import pytest

import digitrec
from tests.conftest import draw


def run_python(program: str) -> str:
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return process.stdout


def test_import_loads_no_other_module() -> None:
    program = (
        "import sys, importlib; before = set(sys.modules); import digitrec; print(*sorted(set(sys.modules) - before))"
    )

    assert run_python(program).split() == ["digitrec"]


@pytest.mark.slow
def test_import_takes_less_than_5_ms() -> None:
    program = (
        "import importlib, sys, time\n"
        "times = []\n"
        "for _ in range(20):\n"
        "    sys.modules.pop('digitrec', None)\n"
        "    start = time.process_time()\n"
        "    import digitrec\n"
        "    times.append(time.process_time() - start)\n"
        "print(min(times))"
    )

    assert float(run_python(program)) < 0.005


@pytest.mark.slow
def test_every_exported_name_is_defined_and_documented() -> None:
    for name in digitrec.__all__:
        value = getattr(digitrec, name)
        assert name == "__version__" or (value.__name__ == name and value.__doc__), name
        assert name == "__version__" or value.__module__.startswith("digitrec."), name
    assert sorted(digitrec.__all__) == digitrec.__all__
    assert set(digitrec.__all__) <= set(dir(digitrec))


def test_types_load_without_numpy() -> None:
    program = "import sys, digitrec; digitrec.PageStatus, digitrec.DigitrecError; print('numpy' in sys.modules)"

    assert run_python(program).strip() == "False"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Raeder'"):
        _ = digitrec.Raeder  # type: ignore[attr-defined]
    assert not hasattr(digitrec, "__path_of_nothing__")


def test_a_traceback_shows_the_hint_once() -> None:
    program = (
        "import pickle, traceback, digitrec\n"
        "error = digitrec.DigitrecError('no model', hint='Train one.')\n"
        "print(*traceback.format_exception_only(pickle.loads(pickle.dumps(error))), sep='')"
    )

    assert run_python(program).strip().splitlines() == ["digitrec.errors.DigitrecError: no model", "Train one."]


@pytest.mark.slow
def test_results_are_shown_in_a_line() -> None:
    (page,) = digitrec.read(draw(7))

    assert repr(page).startswith("Page(file='', page=1, status='accepted', text='7', confidence=0.99")
    assert repr(page).endswith(", reason=None)")
    assert len(repr(digitrec.Reader("shipped").model)) < 300
    assert "pictures=(200, 28, 28)" in repr(digitrec.load_dataset("mnist-200"))
