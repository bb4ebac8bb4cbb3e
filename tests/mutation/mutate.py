"""The mutants of a source file, by cosmic-ray's operators and two of ours; run where cosmic-ray is installed.

    python mutate.py FILE > MUTANTS.json

Prints ``[{"line", "was", "is", "kind", "code"}]``, each with the whole changed source. Left out are changes of
annotations and docstrings, after which the program is the same, of ``__all__``, as nobody imports ``*``, and of
``zip``'s ``strict`` and a dataclass's ``frozen``, which are assertions.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

#: Of a binary operator's eleven replacements these; most of the others end in a TypeError at once.
BINARY = {
    ("Add", "Sub"), ("Sub", "Add"), ("Mul", "Div"), ("Div", "Mul"), ("FloorDiv", "Mul"), ("Mod", "FloorDiv"),
    ("Pow", "Mul"), ("BitAnd", "BitOr"), ("BitOr", "BitAnd"), ("LShift", "RShift"), ("RShift", "LShift"),
}  # fmt: skip
#: Of comparisons not these: what they are asked of (None, types, texts, small numbers) is one object where it is equal.
ALIKE = ("Is_Eq", "IsNot_NotEq", "Eq_Is", "NotEq_IsNot")
FAMILIES = (
    "ReplaceComparisonOperator", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr",
    "ReplaceOrWithAnd", "AddNot", "NumberReplacer", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak",
    "ZeroIterationForLoop", "ReplaceUnaryOperator_Delete", "RemoveDecorator",
)  # fmt: skip


class DropElement(Operator):
    """Leaves out one argument of a call, or one element of a tuple or a list."""

    def mutation_positions(self, node):
        loop = any(child.type == "sync_comp_for" for child in getattr(node, "children", ()))
        if node.type in ("arglist", "testlist_comp") and not loop and len(items := node.children[::2]) > 1:
            for item in items:
                yield item.start_pos, item.end_pos

    def mutate(self, node, index):
        place = 2 * index
        # With the comma behind it; the last element with the one before it.
        first = place - 1 if place and place + 1 >= len(node.children) else place
        del node.children[first : first + 2]
        return node

    @classmethod
    def examples(cls):
        return ()


class DropOperand(Operator):
    """Leaves out the last operand of a sum, a product, an ``and`` or an ``or``, with its operator."""

    def mutation_positions(self, node):
        if node.type in ("arith_expr", "term", "and_test", "or_test"):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        del node.children[-2:]
        return node

    @classmethod
    def examples(cls):
        return ()


def chosen() -> Iterator[tuple[str, Operator]]:
    """The operators by name."""
    for name in operator_names():
        short = name.partition("/")[2]
        parts = short.split("_")
        binary = parts[0] == "ReplaceBinaryOperator" and (parts[1], parts[2]) in BINARY
        if (binary or short.startswith(FAMILIES)) and not short.endswith(tuple(f"Operator_{pair}" for pair in ALIKE)):
            operator = get_operator(name)
            yield short, operator()
    yield "DropElement", DropElement()
    yield "DropOperand", DropOperand()


def program(code: str) -> str:
    """What runs of a source: its tree without docstrings, annotations, ``__all__``, ``strict`` and ``frozen``."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value = ast.Constant("")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant("")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            node.value = ast.Constant("")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = []
        if isinstance(node, ast.ClassDef):
            for call in (each for each in node.decorator_list if isinstance(each, ast.Call)):
                call.keywords = [keyword for keyword in call.keywords if keyword.arg != "frozen"]
    return ast.dump(tree)


def mutants(code: str) -> Iterator[dict]:
    """Every program that one operator makes of ``code`` at one place, each once."""
    seen, nodes = {program(code)}, list(ast_nodes(get_ast(code)))
    lines = code.splitlines()
    for kind, operator in chosen():
        places = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        for occurrence in range(places):
            changed = mutate_code(code, operator, occurrence)
            try:
                runs = program(changed) if changed else None
            except SyntaxError:
                continue
            if runs is None or runs in seen:
                continue
            seen.add(runs)
            now = changed.splitlines()
            begin = next((n for n, (old, new) in enumerate(zip(lines, now, strict=False)) if old != new), len(now))
            back = zip(reversed(lines[begin:]), reversed(now[begin:]), strict=False)
            most = min(len(lines), len(now)) - begin
            end = next((n for n, (old, new) in enumerate(back) if old != new), most)
            was, now = (" ".join(map(str.strip, each[begin : len(each) - end])) for each in (lines, now))
            yield {"line": begin + 1, "was": was, "is": now, "kind": kind, "code": changed}


if __name__ == "__main__":
    json.dump(list(mutants(Path(sys.argv[1]).read_text(encoding="utf-8"))), sys.stdout)
