"""What `train --with-corrections` prints."""

from typing import TYPE_CHECKING

from digitrec import cli_tables

if TYPE_CHECKING:
    from digitrec.learning import Lesson


def words(lesson: "Lesson") -> str:
    """What was learned, and what that changed, for people."""
    pages, learned = lesson.pages, lesson.learned
    missing = f", {pages.missing:,} left out as the original is gone or altered" if pages.missing else ""
    lines = [
        f"  learned from {len(pages.learn):,} corrected or confirmed pages; {len(pages.held_out):,} held out{missing}",
        f"  held out, before: right {cli_tables.share(learned.before.right)}, "
        f"accepted {cli_tables.share(learned.before.accepted)}",
        f"  held out, now:    right {cli_tables.share(learned.after.right)}, "
        f"accepted {cli_tables.share(learned.after.accepted)}",
    ]
    lines += [] if learned.comparison is None else [f"  {learned.comparison.words}"]
    lines += [f"  corrections that may be mistakes: {len(learned.suspects):,}"] if learned.suspects else []
    return "\n".join([*lines, f"  report: {lesson.report}"])


def as_json(lesson: "Lesson") -> dict[str, object]:
    """The same for scripts."""
    learned = lesson.learned
    return {
        "corrections": lesson.pages.as_json(),
        "held_out": {
            name: {"right": one.right.to_json(), "accepted": one.accepted.to_json()}
            for name, one in (("before", learned.before), ("after", learned.after))
        },
        "suspects": len(learned.suspects),
        "report": str(lesson.report),
    }
