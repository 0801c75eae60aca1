"""`python -m tools.messages`: every message that the code can give and docs/errors.md does not tell of, or the reverse.

Messages are found where they are made: errors of `digitrec.errors` and what inherits from them, details of rejected
pictures, lines that `apply` cannot use, warnings in the log. What is filled in stands as an ellipsis.
"""

import ast
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
GAP = "…"
_ROOTS = {"DigitrecError", "RejectedImage", "DecodeError", "RowError"}
_OWN_WORDS = {"Conflict": "row … of batch … was judged … in between"}
"""Classes that make their message themselves."""
_LOGGED = {
    "logs.warning",
    "logs.log_traceback",
    "logs.log_exception",
    "logs.write_from_signal",
}
_YIELDING = ("monitoring/verify.py", "exchange/spreadsheet.py")
_ROW = re.compile(r"^\| `(?P<message>[^|]+?)` \|(?P<rest>.*)\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Message:
    """One that a user can meet."""

    template: str
    location: str
    """Where it is made: file and line."""


def main() -> int:
    """Print the messages missing on the page and the obsolete ones; return 1 if there are any."""
    made, documented = {message.template: message for message in messages()}, entries()
    for template, message in made.items():
        if template not in documented:
            print(f"{message.location}: `{template}` is not in {PAGE.relative_to(ROOT)}")
    for template in documented.keys() - made.keys():
        print(f"{PAGE.relative_to(ROOT)}: no code has `{template}`")
    return 1 if made.keys() ^ documented.keys() else 0


def entries() -> dict[str, tuple[str, ...]]:
    """Return the cause and the fix of each message on the page."""
    rows = _ROW.finditer(PAGE.read_text(encoding="utf-8"))
    return {row["message"]: tuple(cell.strip() for cell in row["rest"].split(" | ")) for row in rows}


def messages() -> Iterator[Message]:
    """Every message in the code, in the order of the files."""
    files = sorted((ROOT / "digitrec").rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    classes, constants = _family(trees.values()), _constants(trees.values())
    for path, tree in trees.items():
        is_yielding = any(map(path.match, _YIELDING))
        is_logs = path.match("digitrec/logs.py")
        for node in ast.walk(tree):
            words = _reported(node, classes, prefix="logs." if is_logs else "") or (
                _yielded(node) if is_yielding else None
            )
            for template in templates_of(words, constants) if words is not None else ():
                yield Message(template, f"{path.relative_to(ROOT)}:{node.lineno}")  # type: ignore[attr-defined]


def templates_of(node: ast.AST, constants: Mapping[str, str]) -> list[str]:
    """What a message looks like, several if it has a choice of words; none if nothing of it is fixed.

    Args:
        node: an expression.
        constants: texts that have a name.

    >>> made = "f'{path} has {0 if is_empty else 1} pages as {FORM}: {why}'"
    >>> templates_of(ast.parse(made, mode="eval").body, {"FORM": "PDF"})
    ['… has 0 pages as PDF: …', '… has 1 pages as PDF: …']
    """
    parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
    choices = itertools.product(*(_choices(part, constants) for part in parts))
    found = (re.sub(f"{GAP}+", GAP, "".join(words)).replace("`", "'") for words in choices)
    return [words for words in found if re.search("[a-z]{2}", words)]


def _choices(part: ast.expr, constants: Mapping[str, str]) -> list[str]:
    """Return the possible texts of one part of a message."""
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    value = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(value, ast.IfExp):
        texts = [item.value for item in (value.body, value.orelse) if isinstance(item, ast.Constant)]
        return [str(text) for text in texts] if len(texts) == 2 else [GAP]
    return [constants.get(ast.unparse(value), GAP)]


def _reported(node: ast.AST, classes: Set[str], prefix: str = "") -> ast.expr | None:
    """Return the message argument of a call that reports one; `prefix` completes its name for `_LOGGED`."""
    if not isinstance(node, ast.Call):
        return None
    name = _dotted(node.func)
    if name in _OWN_WORDS:
        return ast.copy_location(ast.Constant(_OWN_WORDS[name]), node)
    position = 1 if name in {"RejectedImage", "DecodeError"} else 0
    is_reporting = prefix + name in _LOGGED or name.rpartition(".")[2] in classes
    return node.args[position] if is_reporting and len(node.args) > position else None


def _dotted(node: ast.expr) -> str:
    """A name, or the last two of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value).rpartition('.')[2]}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _yielded(node: ast.AST) -> ast.expr | None:
    """A difference or a note of `verify`, a bad line of a table: these are yielded or gathered."""
    if isinstance(node, ast.Yield):
        return node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
    is_gathered = isinstance(node, ast.Call) and _dotted(node.func) in {"_discrepancies.append", "notes.append"}
    return node.args[0] if is_gathered and isinstance(node, ast.Call) else None


def _constants(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Texts with a name in capitals that means the same everywhere."""
    found: dict[str, set[str]] = {}
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets:
                found.setdefault(ast.unparse(target), set()).add(node.value.value)
    return {name: next(iter(texts)) for name, texts in found.items() if len(texts) == 1 and name.isupper()}


def _family(trees: Iterable[ast.Module]) -> set[str]:
    """The classes that are one of _ROOTS, or inherit from one."""
    found = set(_ROOTS)
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    while more := {name for name, over in bases.items() if over & found} - found:
        found |= more
    return found


if __name__ == "__main__":
    sys.exit(main())
