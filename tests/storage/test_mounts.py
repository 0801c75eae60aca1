"""Find the filesystem of a folder, and mounts below it."""

from pathlib import Path

import pytest

from digitrec.storage import folder_id

TABLE = r"""21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:40 / /srv/my\040scans rw - nfs4 nas:/scans rw,vers=4.2
23 21 0:41 / /srv rw,relatime shared:2 master:3 - tmpfs tmpfs rw
24 23 0:42 / /srv/box rw - cifs //nas/box rw
25 24 0:43 / /srv/box rw - fuse.sshfs me@there: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/scans", "ext4"),
        ("/srv/my scans/inbox", "nfs4"),
        ("/srv/my scans too", "tmpfs"),
        ("/srv/box", "fuse.sshfs"),
        ("/srvx", "ext4"),
    ],
)
def test_the_nearest_and_latest_mount_above_a_folder_counts(tmp_path: Path, folder: str, kind: str) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)

    assert folder_id.get_filesystem(Path(folder), table) == kind


def test_without_a_mount_table_the_kind_is_unknown_and_counts_as_local(tmp_path: Path) -> None:
    kind = folder_id.get_filesystem(tmp_path, tmp_path / "none")

    assert kind == ""
    assert not folder_id.is_remote_filesystem(kind)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse", "fuse.rclone"])
def test_shares_count_as_remote(kind: str) -> None:
    assert folder_id.is_remote_filesystem(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuseblk", "zfs"])
def test_local_disks_do_not(kind: str) -> None:
    assert not folder_id.is_remote_filesystem(kind)


def test_mounts_below_a_folder_are_listed_with_their_path(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)

    assert folder_id.find_mounts_below(Path("/srv"), table) == {"my scans", "box"}
    assert folder_id.find_mounts_below(Path("/srv/box"), table) == set()
    assert folder_id.find_mounts_below(Path("/srv"), tmp_path / "none") == set()
