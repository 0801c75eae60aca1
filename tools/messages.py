"""`python -m tools.messages`: list the messages of the code that tools/messages.md lacks, and the obsolete ones.

Messages are found in the code: errors of `digitrec.errors` and their subclasses, details of rejected pictures, lines
that `apply` cannot use, warnings in the log. An ellipsis stands for a value.
"""

import ast
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tools" / "messages.md"
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
    """A message that a user can see."""

    template: str
    location: str
    """File and line in the code."""
    exit_code: int | None = None
    """Exit code of the error class; None for log lines, rejected files and differences."""


def main() -> int:
    """Print the messages missing on the page and the obsolete ones; return 1 if there are any."""
    made, documented = {message.template: message for message in messages()}, entries()
    for template, message in made.items():
        if template not in documented:
            print(f"{message.location}: `{template}` is not in {PAGE.relative_to(ROOT)}")
    for template in documented.keys() - made.keys():
        print(f"{PAGE.relative_to(ROOT)}: no code has `{template}`")
    return 1 if made.keys() ^ documented.keys() else 0


def entries(text: str = "") -> dict[str, tuple[str, ...]]:
    """Return the cause and the fix of each message in `text`; of tools/messages.md if it is empty."""
    rows = _ROW.finditer(text or PAGE.read_text(encoding="utf-8"))
    return {row["message"]: tuple(cell.strip() for cell in row["rest"].split(" | ")) for row in rows}


def messages() -> Iterator[Message]:
    """Yield every message in the code, in the order of the files."""
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
                code = classes.get(_dotted(node.func).rpartition(".")[2]) if isinstance(node, ast.Call) else None
                yield Message(template, f"{path.relative_to(ROOT)}:{node.lineno}", code)  # type: ignore[attr-defined]


def templates_of(node: ast.AST, constants: Mapping[str, str]) -> list[str]:
    """Return the templates of a message: several if it has a choice of words, none if no word is fixed.

    Args:
        node: an expression.
        constants: values of string constants, by name.

    >>> made = "f'{path} has {0 if is_empty else 1} pages as {FORM}: {why}'"
    >>> templates_of(ast.parse(made, mode="eval").body, {"FORM": "PDF"})
    ['… has 0 pages as PDF: …', '… has 1 pages as PDF: …']
    """
    parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
    choices = itertools.product(*(_choices(part, constants) for part in parts))
    templates = (re.sub(f"{GAP}+", GAP, "".join(words)).replace("`", "'") for words in choices)
    return [words for words in templates if re.search("[a-z]{2}", words)]


def _choices(part: ast.expr, constants: Mapping[str, str]) -> list[str]:
    """Return the possible texts of one part of a message."""
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    value = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(value, ast.IfExp):
        texts = [item.value for item in (value.body, value.orelse) if isinstance(item, ast.Constant)]
        return [str(text) for text in texts] if len(texts) == 2 else [GAP]
    return [constants.get(ast.unparse(value), GAP)]


def _reported(node: ast.AST, classes: Mapping[str, int | None], prefix: str = "") -> ast.expr | None:
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
    """Return a name, or the last two parts of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value).rpartition('.')[2]}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _yielded(node: ast.AST) -> ast.expr | None:
    """Return the message of a difference or note of `verify`, or of a bad line of a table."""
    if isinstance(node, ast.Yield):
        return node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
    is_gathered = isinstance(node, ast.Call) and _dotted(node.func) in {"_discrepancies.append", "notes.append"}
    return node.args[0] if is_gathered and isinstance(node, ast.Call) else None


def _constants(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Return the string constants whose name has one value in all modules."""
    texts_by_name: dict[str, set[str]] = {}
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets:
                texts_by_name.setdefault(ast.unparse(target), set()).add(node.value.value)
    return {name: next(iter(texts)) for name, texts in texts_by_name.items() if len(texts) == 1 and name.isupper()}


def _family(trees: Iterable[ast.Module]) -> dict[str, int | None]:
    """Return the exit code of each class of _ROOTS and of their subclasses; None for classes without one."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    codes = {name: _exit_code(classes[name]) for name in _ROOTS}
    while more := {
        name: _exit_code(node) or codes[base.id]
        for name, node in classes.items()
        for base in node.bases
        if name not in codes and isinstance(base, ast.Name) and base.id in codes
    }:
        codes |= more
    return codes


def _exit_code(node: ast.ClassDef) -> int | None:
    """Return the value of `exit_code` in the body of a class."""
    for item in node.body:
        target = (
            item.target
            if isinstance(item, ast.AnnAssign)
            else item.targets[0]
            if isinstance(item, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "exit_code":
            return int(ast.literal_eval(item.value))  # type: ignore[attr-defined]
    return None


if __name__ == "__main__":
    sys.exit(main())
