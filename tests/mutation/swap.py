"""Put a mutant's functions into a module that is imported already: nothing is imported anew.

A function object stays, and so does everything that refers to it; its code becomes another's. What a module does while
it is imported (constants, defaults, fields, decorators) cannot be changed so.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: The flag of code that has locals of its own: functions have, modules and classes have not.
OPTIMIZED = 1


def name_of(path: Path) -> str:
    """The module of a file below the repository."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _inner(code: CodeType) -> dict[str, CodeType]:
    return {each.co_qualname: each for each in code.co_consts if isinstance(each, CodeType)}


def _own(code: CodeType) -> Any:
    """What code does, but for the code within it."""
    consts = [each.co_qualname if isinstance(each, CodeType) else (type(each), each) for each in code.co_consts]
    return code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable


def changed(old: CodeType, new: CodeType) -> dict[str, CodeType] | None:
    """The functions of a module or class that are others in ``new``; None where more than functions is other."""
    if _own(old) != _own(new) or len(_inner(old)) != sum(isinstance(each, CodeType) for each in old.co_consts):
        return None
    found: dict[str, CodeType] = {}
    for name, code in _inner(old).items():
        other = _inner(new)[name]
        if code.co_flags & OPTIMIZED:
            if code != other:
                found[name] = other
        else:
            within = changed(code, other)
            if within is None:
                return None
            found |= within
    return found


def _function(module: ModuleType, name: str) -> FunctionType | None:
    """The function of that qualified name, out of whatever it is wrapped in."""
    found: Any = module
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
        for wrapper in ("fget", "__func__", "func"):
            found = getattr(found, wrapper, None) or found
        while hasattr(found, "__wrapped__"):
            found = found.__wrapped__
    return found if isinstance(found, FunctionType) else None


def functions_of(module: ModuleType, old: str, new: str) -> list[tuple[FunctionType, CodeType]] | None:
    """Each function that ``new`` changes, with its other code; None where the module must be imported anew."""
    with warnings.catch_warnings(action="ignore"):  # mutants look odd
        names = changed(*(compile(text, module.__file__ or "", "exec") for text in (old, new)))
    if not names:
        return None
    found = [(_function(module, name), code) for name, code in names.items()]
    fits = all(f is not None and f.__code__.co_freevars == code.co_freevars for f, code in found)
    return [(f, code) for f, code in found if f is not None] if fits else None
