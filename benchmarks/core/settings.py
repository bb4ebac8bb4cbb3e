"""A task's settings: one frozen dataclass, its flags on a command line, and its values as JSON.

A field may say in its metadata ``help`` (for people), ``choices``, and ``launch=True``: how the work is cut up and not
what comes out, so it takes no part in a job's identity.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from benchmarks.errors import InputError

S = TypeVar("S")


def option(default: Any, help: str, choices: tuple[Any, ...] = (), launch: bool = False) -> Any:
    """A field with its text for ``--help``."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "launch": launch})


def flag(name: str) -> str:
    """A field's name on the command line."""
    return f"--{name.replace('_', '-')}"


def fields_with_help(kind: type) -> list[dataclasses.Field[Any]]:
    """The fields that a command line may set."""
    return [field for field in dataclasses.fields(kind) if field.metadata.get("help")]


def add_flags(parser: argparse.ArgumentParser, by_scale: Mapping[str, Any]) -> None:
    """A flag for each field that has a help text; ``by_scale`` holds the settings of each scale."""
    kind = type(next(iter(by_scale.values())))
    group = parser.add_argument_group("settings (default: the protocol's)")
    for field in fields_with_help(kind):
        values = dict.fromkeys(str(getattr(settings, field.name)) for settings in by_scale.values())
        default = "" if set(values) == {"None"} else f" (default: {' / '.join(values)})"
        choices = field.metadata.get("choices")
        group.add_argument(
            flag(field.name),
            dest=f"setting_{field.name}",
            type=_parser(_value_type(kind, field.name)),
            choices=choices or None,
            help=field.metadata["help"] + default,
        )


def from_flags(args: argparse.Namespace, settings: S) -> S:
    """``settings`` with what was given on the command line."""
    given = {name.removeprefix("setting_"): v for name, v in vars(args).items() if name.startswith("setting_")}
    return change(settings, {name: value for name, value in given.items() if value is not None})


def change(settings: S, changes: Mapping[str, Any]) -> S:
    """``settings`` with ``changes``; :class:`InputError` names what it has not, or a value of another type."""
    if not changes:
        return settings
    assert dataclasses.is_dataclass(settings)
    kind = type(settings)
    known = [field.name for field in dataclasses.fields(settings)]
    for name, value in changes.items():
        if name not in known:
            raise InputError(f"there is no setting {name}: choose from {', '.join(known)}")
        hint = typing.get_type_hints(kind)[name]
        if not _fits(value, hint):
            raise InputError(f"setting {name} is {value!r}: give {_described(hint)}")
        choices = next(f for f in dataclasses.fields(settings) if f.name == name).metadata.get("choices")
        if choices and value not in choices:
            raise InputError(f"{flag(name)} is {value!r}: choose one of {', '.join(map(str, choices))}")
    return typing.cast(S, dataclasses.replace(settings, **changes))  # type: ignore[type-var]


def to_json(settings: Any) -> dict[str, Any]:
    """Every field as plain JSON data."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(settings))))


def from_json(kind: type[S], data: Mapping[str, Any]) -> S:
    """The inverse of :func:`to_json`."""
    hints = typing.get_type_hints(kind)

    def value_of(hint: Any, value: Any) -> Any:
        if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
            return from_json(typing.cast(type, hint), value)
        return _tuples(value)

    return kind(**{name: value_of(hints[name], value) for name, value in data.items()})


def deciding(settings: Any) -> dict[str, Any]:
    """What takes part in a job's identity: all but the fields about launching."""
    launch = {field.name for field in dataclasses.fields(settings) if field.metadata.get("launch")}
    return {name: value for name, value in to_json(settings).items() if name not in launch}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _value_type(kind: type, name: str) -> type:
    hint = typing.get_type_hints(kind)[name]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    return typing.cast(type, hint)


def _parser(kind: type) -> Any:
    if kind is bool:
        return _boolean
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return lambda text: tuple(inner(part) for part in text.split(","))
    return kind


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _described(hint: Any) -> str:
    return str(hint).replace("<class '", "").replace("'>", "").replace(" | ", " or ")
