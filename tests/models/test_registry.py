"""Model in use, promote and rollback."""

import json
import shutil
from pathlib import Path

import pytest

import digitrec
from digitrec.errors import ModelError
from digitrec.models.package import ModelPackage
from digitrec.models.registry import ModelRegistry, install

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


@pytest.fixture
def store(tmp_path: Path) -> ModelRegistry:
    """The shipped model, and two trained models with the same weights and other ids."""
    store = ModelRegistry(tmp_path / "models", SHIPPED)
    for name, hour in (("one", "01"), ("two", "02")):
        folder = store.root / name
        shutil.copytree(SHIPPED, folder)
        card = json.loads((folder / "model.json").read_text())
        card["id"] = f"{name}-{card['id'].rpartition('-')[2]}"
        card["created_at"] = f"2026-01-01T{hour}:00:00Z"
        (folder / "model.json").write_text(json.dumps(card))
        folder.rename(store.root / card["id"])
    return store


def name_of(store: ModelRegistry, start: str) -> str:
    return store.find(start).name


def test_without_trained_models_the_shipped_model_is_used(tmp_path: Path) -> None:
    store = ModelRegistry(tmp_path / "nothing", SHIPPED)

    assert store.current() == SHIPPED
    assert [(model.name, model.is_current) for model in store.list()] == [("shipped", True)]
    assert not store.root.exists()


def test_a_promoted_model_is_used(store: ModelRegistry) -> None:
    chosen = store.promote("two")

    assert store.current() == store.root / chosen
    assert [model.is_current for model in store.list()] == [False, False, True]


def test_rollback_goes_back_step_by_step(store: ModelRegistry) -> None:
    first, second = store.promote("one"), store.promote("two")
    store.promote("shipped")

    assert [store.rollback(), store.rollback(), store.rollback()] == [second, first, "shipped"]
    with pytest.raises(ModelError, match="no earlier model"):
        store.rollback()
    assert store.current() == SHIPPED


def test_promoting_the_current_model_again_changes_nothing(store: ModelRegistry) -> None:
    store.promote("one")
    store.promote("one")

    assert store.rollback() == "shipped"


def test_a_promotion_cut_off_between_its_two_writes_changes_nothing(
    store: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted = store.promote("one")
    (store.root / "earlier").write_text(f"shipped\n{promoted}\n")

    assert store.current() == store.root / promoted
    assert store.rollback() == "shipped"


def test_a_model_can_be_named_by_id_beginning_or_path(store: ModelRegistry, tmp_path: Path) -> None:
    model_id = name_of(store, "one")

    assert store.find(model_id) == store.find("one") == store.root / model_id
    assert store.find(str(store.root / model_id)) == store.root / model_id
    assert store.find("shipped") == SHIPPED
    assert store.find(ModelPackage.open(SHIPPED).card.id) == SHIPPED


@pytest.mark.parametrize("name", ["three", "", ".", "..", "../..", "/nowhere", "~", "o/ne"])
def test_an_unknown_model_is_refused(store: ModelRegistry, name: str) -> None:
    with pytest.raises(ModelError, match="there is no model") as caught:
        store.find(name)
    assert "models list" in caught.value.hint


def test_a_beginning_that_fits_several_models_is_refused(store: ModelRegistry) -> None:
    other = store.root / name_of(store, "one").replace("one", "one_more")
    shutil.copytree(store.find("two"), other)
    card = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(card | {"id": other.name}))

    with pytest.raises(ModelError, match="several models begin with one"):
        store.find("one")


def test_an_altered_model_is_listed_with_its_problem_and_not_promoted(store: ModelRegistry) -> None:
    folder = store.find("one")
    (folder / "model.tflite").write_bytes(b"other")

    (listed,) = [model for model in store.list() if model.folder == folder]

    assert listed.card is None
    assert "altered" in listed.problem
    with pytest.raises(ModelError, match="altered"):
        store.promote(folder.name)
    assert store.current() == SHIPPED


def test_a_folder_outside_the_registry_is_not_promoted(store: ModelRegistry, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(SHIPPED, outside)

    with pytest.raises(ModelError, match="not among the models"):
        store.promote(str(outside))


def test_a_missing_current_model_is_an_error_with_a_hint(store: ModelRegistry) -> None:
    shutil.rmtree(store.root / store.promote("one"))

    with pytest.raises(ModelError, match="is not in") as caught:
        store.current()
    assert "rollback" in caught.value.hint
    assert store.rollback() == "shipped"


def test_folders_being_written_are_not_listed(store: ModelRegistry) -> None:
    (store.root / ".draft-123").mkdir()

    assert len(store.list()) == 3


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_written_over_another_replaces_it_completely(store: ModelRegistry) -> None:
    first, second = store.find("one"), store.find("two")
    files = files_of(second)

    assert install(store.root, first.name, files) == first
    assert files_of(first) == files
    assert sorted(path.name for path in store.root.iterdir()) == [first.name, second.name]


def test_a_model_is_missing_only_between_two_renames(store: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store.find("one")
    are_present = []

    def removed(path: Path, **_: object) -> None:
        are_present.append((folder / "model.json").is_file())
        remove(path)

    remove = shutil.rmtree
    monkeypatch.setattr("digitrec.models.registry.shutil.rmtree", removed)

    install(store.root, folder.name, files_of(folder))

    assert are_present == [True]


def test_a_failed_install_keeps_the_old_model(store: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store.find("one")
    before, rename = files_of(folder), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".draft-") and not path.name.endswith("-old"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output"):
        install(store.root, folder.name, files_of(store.find("two")))

    assert files_of(folder) == before
    assert len([*store.root.iterdir()]) == 2
