"""Failed claims: one file waits while the others are read; if all fail, the environment is at fault."""

import errno
import os
from collections.abc import Callable

import pytest

from digitrec import files
from tests.conftest import ServiceHarness, draw

ERRORS = [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.ESTALE, errno.EROFS, 5000]


def failing(number: int, fails: Callable[[str], bool]) -> Callable[..., None]:
    """Return a rename function that fails for some files."""
    real = files.rename_exclusive

    def rename_exclusive(source: object, target: object) -> None:
        if fails(str(source)):
            raise OSError(number, os.strerror(number), str(source))
        real(str(source), str(target))

    return rename_exclusive


@pytest.mark.slow
@pytest.mark.parametrize("number", ERRORS, ids=str)
def test_a_file_whose_rename_fails_waits_and_the_others_are_read(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    harness.drop("bad/7.png")
    harness.drop("8.png", draw(8))
    with monkeypatch.context() as patch:
        patch.setattr(files, "rename_exclusive", failing(number, lambda source: source.endswith("bad/7.png")))
        harness.run()
        with harness.at_work() as pipeline:
            (back,) = pipeline.ledger.deferred_files()
    assert [row["file"] for row in harness.rows()] == ["8.png"]
    assert (back.tries, back.why) == (1, f"it cannot be claimed: {os.strerror(number)}")

    harness.run()
    assert len(harness.rows()) == 1, "it is held back"
    harness.now_s += 2
    harness.run()

    assert sorted(row["file"] for row in harness.rows()) == ["8.png", "bad/7.png"]
    assert harness.account().discrepancies == ()


def test_a_file_whose_rename_fails_waits_though_it_is_alone(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    monkeypatch.setattr(files, "rename_exclusive", failing(errno.EIO, lambda source: source.endswith("inbox/7.png")))

    for _ in range(3):
        harness.run()
        harness.now_s += 300

    with harness.at_work() as pipeline:
        assert [back.tries for back in pipeline.ledger.deferred_files()] == [3]
    assert [path.name for path in harness.inbox.iterdir() if "probe" in path.name] == []
    assert sorted(path.name for path in (harness.inbox / ".claimed" / "main").iterdir()) == ["ledger", "lock"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
def test_an_inbox_where_nothing_can_be_claimed_is_an_environment_failure(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    harness.drop("7.png")
    harness.drop("8.png", draw(8))
    with monkeypatch.context() as patch:
        patch.setattr(files, "rename_exclusive", failing(number, lambda source: "inbox" in source))
        with pytest.raises(OSError, match=os.strerror(number)):
            harness.run()

    harness.run()

    assert sorted(row["file"] for row in harness.rows()) == ["7.png", "8.png"], "nothing is held for it"
    assert harness.account().discrepancies == ()
