"""Run in a separate mount namespace: a share mounted inside the inbox, and another one over it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.scene import Scene


def main(workspace: Path) -> None:
    """Mount tmpfs inside and over the inbox of a workspace; no file on it may be touched."""
    scene = Scene("mounted", workspace)
    scene.drop(2)
    assert scene.run() == 0
    inside(scene)
    over(scene)
    scene.settle()


def inside(scene: Scene) -> None:
    """A share inside the inbox is skipped, logged once and counted; `doctor` names it."""
    share = scene.inbox / "office" / "share"
    share.mkdir(parents=True)
    mount(share)
    for name in ("a.png", "deeper/b.png"):
        (share / name).parent.mkdir(exist_ok=True)
        (share / name).write_bytes(b"x")
    scene.drop(1)
    bound = scene.inbox / "bound"  # the same filesystem: only the mount table shows it
    bound.mkdir()
    (scene.workspace / "elsewhere").mkdir()
    (scene.workspace / "elsewhere" / "c.png").write_bytes(b"x")
    subprocess.run(["mount", "--bind", str(scene.workspace / "elsewhere"), str(bound)], check=True)

    result = subprocess.run(scene.command("run", "--settle-s", "0"), capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert "3 files passed over: 3 on another filesystem" in result.stdout.splitlines()[-1], result.stdout
    messages = [json.loads(line) for line in result.stderr.splitlines() if "another filesystem" in line]
    assert sorted(message["file"] for message in messages) == ["bound", "office/share"], messages
    status = subprocess.run(scene.command("status", "--json"), capture_output=True, text=True, check=True)
    assert json.loads(status.stdout)["passed_over"] == {"too_long": 0, "elsewhere": 3}
    doctor = subprocess.run(scene.command("doctor"), capture_output=True, text=True, check=False)
    (line,) = [line for line in doctor.stdout.splitlines() if "another filesystem" in line]
    assert line.startswith("FAULT")
    assert str(share) in line
    assert str(bound) in line
    assert "(3 files)" in line
    assert "Move its files into the inbox" in line
    subprocess.run(["umount", str(share), str(bound)], check=True)
    assert (bound / "c.png").exists() is False


def over(scene: Scene) -> None:
    """Another share over the inbox, with files and without a marker, is refused until `init` accepts it."""
    mount(scene.inbox)
    (scene.inbox / "foreign.png").write_bytes(b"x")
    assert scene.run("--run-retry-s", "0.1") == 74
    assert [path.name for path in scene.inbox.iterdir()] == ["foreign.png"], "nothing is made or read in it"
    doctor = subprocess.run(scene.command("doctor"), capture_output=True, text=True, check=False)
    assert "has no marker and is on another device than before" in doctor.stdout, doctor.stdout
    assert subprocess.run(scene.command("init"), capture_output=True, check=False).returncode == 0
    (scene.inbox / "foreign.png").unlink()
    assert scene.run() == 0, "it is accepted"
    subprocess.run(["umount", str(scene.inbox)], check=True)


def mount(folder: Path) -> None:
    """Mount tmpfs on a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
