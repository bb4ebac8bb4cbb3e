"""The classes of the world.

An object class is a shape *and* a texture. Every shape is shared by two classes and so is every texture,
so an observer who sees only one of them is right half of the time; colour is a weaker hint still.
"""

from __future__ import annotations

#: (shape, texture) of each object class: a ring in which neighbours share a shape or a texture.
OBJECT_KINDS: tuple[tuple[str, str], ...] = (
    ("disc", "stripes"),
    ("disc", "dots"),
    ("triangle", "dots"),
    ("triangle", "checks"),
    ("star", "checks"),
    ("star", "rings"),
    ("square", "rings"),
    ("square", "stripes"),
)

_ADJECTIVES = {"stripes": "striped", "dots": "dotted", "checks": "checked", "rings": "ringed"}

#: Names of the object classes; an object's ``class_index`` points into this tuple.
OBJECT_CLASSES: tuple[str, ...] = tuple(f"{_ADJECTIVES[texture]} {shape}" for shape, texture in OBJECT_KINDS)

#: Names of the background classes. A semantic label is an object class index, or
#: ``len(OBJECT_CLASSES) + i`` for ``STUFF_CLASSES[i]``.
STUFF_CLASSES: tuple[str, ...] = ("sky", "mountain", "grass", "water", "sand", "paving")

#: Centre of the hues (0..1) that a class prefers; most instances do not keep to it.
PREFERRED_HUES: tuple[float, ...] = tuple(i / len(OBJECT_KINDS) for i in (0, 3, 6, 1, 4, 7, 2, 5))
