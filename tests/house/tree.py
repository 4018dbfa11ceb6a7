"""The project's own files as the house rules see them: paths, syntax trees, functions, lines."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "cmg"
TESTS = ROOT / "tests"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file: `name` is its path from the project's root, `lines` how long it is."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the project's root, with forward slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return len(self.text.splitlines())


@cache
def modules(folder: Path) -> tuple[Module, ...]:
    """Every Python file below a folder, in order."""
    paths = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    return tuple(Module(path, text := path.read_text(), ast.parse(text)) for path in paths)


def rooms() -> Iterator[Path]:
    """Every package folder of the source tree, sub-rooms too."""
    for init in sorted(SOURCE.rglob("__init__.py")):
        yield init.parent


def functions(module: Module) -> Iterator[Function]:
    """Every function and method of a module, nested ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines from the `def` to the last one: decorators declare, they are not the body."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def strings(module: Module) -> Iterator[ast.Constant]:
    """Every string of a module that is no docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute or name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


@cache
def kept_files() -> tuple[Path, ...]:
    """Every text file that git keeps or would keep (so also new ones that are not ignored)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    return tuple(ROOT / name for name in sorted(set(listed)) if name and (ROOT / name).is_file())
