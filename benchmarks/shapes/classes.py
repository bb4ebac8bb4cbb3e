"""The classes of the world.

An object class is a shape *and* a texture, and it has colours, as things in nature have. Every shape is shared by two
classes and so is every texture, so an observer who sees only one of them is right half of the time. The colours of a
class vary, those of two classes lie close together, and the light of a picture changes them more than either.
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

#: Centre of the hues (0..1) of each class's ground; individuals lie about it with a deviation of :data:`HUE_SPREAD`.
BASE_HUES: tuple[float, ...] = tuple(i / len(OBJECT_KINDS) for i in (0, 3, 6, 1, 4, 7, 2, 5))

#: How far the hue of its marks is from that of its ground, in the mean.
MARK_HUES: tuple[float, ...] = tuple(0.25 + 0.25 * (i // 2 % 3) for i in range(len(OBJECT_KINDS)))

#: Whether its ground is darker than its marks.
DARK_BASE: tuple[bool, ...] = tuple(i % 2 == 1 for i in range(len(OBJECT_KINDS)))

HUE_SPREAD = 0.06
