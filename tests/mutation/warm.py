"""Which modules of the house a changed one can be felt in: those that import it, by others or themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HOUSE = ("benchmarks", "pretrain")


def name_of(path: Path) -> str:
    """The module of a file below the repository."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(name: str, tree: ast.AST) -> Iterator[str]:
    """What a module imports while it is imported: not what its functions import when they are called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
        yield from _imports(name, node)


def dependents(root: Path, changed: str) -> set[str]:
    """``changed`` and every module of the house whose import imports it."""
    uses: dict[str, set[str]] = {}
    for folder in HOUSE:
        for path in sorted((root / folder).rglob("*.py")):
            name = name_of(path.relative_to(root))
            found = {each for each in _imports(name, ast.parse(path.read_text(encoding="utf-8")))}
            parts = [each.split(".") for each in (*found, name)]
            uses[name] = {".".join(p[:n]) for p in parts for n in range(1, len(p) + 1)} - {name}
    felt = {changed}
    while more := {name for name, used in uses.items() if used & felt} - felt:
        felt |= more
    return felt
