"""The Containerfile: its parts. `make release` runs its steps."""

import importlib.metadata
import re
from pathlib import Path

import typer
import yaml
from packaging.requirements import Requirement

from digitrec.cli.main import cli
from tools.container import FILE, ROOT, SOURCE, TARGET, Step, steps

STEPS = steps(FILE.read_text(encoding="utf-8"))


def of(name: str, stage: int = 2) -> list[Step]:
    return [step for step in STEPS if step.name == name and step.stage == stage]


def test_what_runs_is_made_in_another_stage_of_the_same_python() -> None:
    bases = [step.words[0] for step in STEPS if step.name == "FROM"]
    (default,) = (step.value for step in STEPS if step.name == "ARG")

    assert bases == ["${BASE}", "${BASE}"], "the environment points at the Python it was made with"
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.1[1-3]-slim(@sha256:[0-9a-f]{64})?", default)
    assert not of("RUN"), "what runs as root belongs to the first stage"
    assert [step.words for step in of("COPY")] == [[TARGET, TARGET], [f"{SOURCE}/work", of("VOLUME")[0].value]]


def test_it_runs_as_nobody_in_particular_and_not_as_root() -> None:
    (user,) = of("USER")

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user.value), "a number: engines can see that it is not root"


def test_its_folder_is_the_workspace_and_the_volume() -> None:
    (folder,), (volume,), (variables,) = of("WORKDIR"), of("VOLUME"), of("ENV")

    assert folder.value == volume.value
    assert f"DIGITREC_WORKSPACE={folder.value}" in variables.words
    assert f"PATH={TARGET}/bin:$PATH" in variables.words


def test_its_folder_belongs_to_the_user_that_runs() -> None:
    (user,), (copied,) = of("USER"), (step for step in of("COPY") if step.words[-1] == of("VOLUME")[0].value)
    names = [step.name for step in STEPS if step.stage == 2]

    assert f"--chown={user.value}" in copied.value.split()
    assert names.index("VOLUME") > max(at for at, name in enumerate(names) if name == "COPY"), "else it is not kept"


def test_the_compose_file_runs_the_image_as_the_page_says() -> None:
    compose = yaml.safe_load((FILE.with_name("compose.yaml")).read_text(encoding="utf-8"))
    (service,) = compose["services"].values()
    (volume,) = service["volumes"]

    assert service["build"] == {"context": "..", "dockerfile": str(FILE.relative_to(ROOT))}
    assert of("USER")[0].value in service["user"]
    assert volume == f"${{DIGITREC_FOLDER:-digitrec}}:{of('VOLUME')[0].value}"
    assert "digitrec" in compose["volumes"]
    assert service["init"] is service["read_only"] is True
    assert (service["network_mode"], service["stop_grace_period"]) == ("none", "20s")
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    assert "DIGITREC_FOLDER=" in page
    assert "DIGITREC_USER=" in page


def test_what_it_starts_and_asks_are_commands_that_exist() -> None:
    program = typer.main.get_command(cli)
    (entry,), (start,), (health,) = of("ENTRYPOINT"), of("CMD"), of("HEALTHCHECK")
    (asked,) = re.findall(r'CMD \["digitrec", "(\w+)", "--check"\]$', health.value)

    assert (entry.words, start.words, asked) == (["digitrec"], ["watch"], "status")
    assert {start.words[0], asked} <= set(program.commands)  # type: ignore[attr-defined]
    assert of("STOPSIGNAL")[0].value == "SIGTERM"


def test_the_image_has_the_base_lock_and_every_copied_path_exists() -> None:
    let_through = FILE.with_name(f"{FILE.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for step in of("COPY", 1) for name in step.words[:-1]]
    installs = [step.value for step in of("RUN", 1) if "install" in step.value]

    assert of("WORKDIR", 1)[0].value == SOURCE
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in let_through, name
    assert {f"!{name}" for name in copied} == {line for line in let_through if line.startswith("!")}
    assert any("-r requirements/base.lock" in step for step in installs)
    assert all("--require-hashes" in step or "--no-index" in step for step in installs)


def test_the_build_backend_and_its_dependencies_come_from_the_lock() -> None:
    installs = [step.value for step in of("RUN", 1) if "-r requirements/build.lock" in step.value]
    needed, waiting = set[str](), ["hatchling"]
    while waiting:
        asked = Requirement(waiting.pop())
        if asked.name not in needed and (asked.marker is None or asked.marker.evaluate({"extra": ""})):
            needed.add(asked.name)
            waiting += importlib.metadata.requires(asked.name) or ()

    assert installs
    lock = (ROOT / "requirements" / "build.lock").read_text(encoding="utf-8")
    assert all(re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE) for name in needed)


def test_the_page_about_it_names_what_it_says() -> None:
    page = Path(ROOT / "docs" / "running.md").read_text(encoding="utf-8")

    assert of("USER")[0].value.partition(":")[0] in page
    assert f":{of('VOLUME')[0].value}" in page
