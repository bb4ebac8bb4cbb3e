"""From what a user calls a checkpoint to a path on this machine: a file, a folder, or a name.

``timm:NAME`` and ``hf:OWNER/NAME[/FILE][@REVISION]`` come from the HuggingFace hub, ``hub:OWNER/REPOSITORY:ENTRY`` from
the published addresses of torch.hub's repositories (weights alone, their code is not run), ``https://...[#sha256=...]``
from anywhere. Each is kept in its library's own cache, and a second use needs no network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.checkpoints.sources.known import Known, known_by_source
from benchmarks.errors import InputError

SCHEMES = ("timm:", "hf:", "hub:", "https://", "http://")


class Located(NamedTuple):
    """A checkpoint on this machine. ``name``: what the card calls it, never a path of this machine."""

    path: Path
    name: str
    revision: str = ""  # of the hub's repository
    known: Known | None = None  # the built-in list's word on it

    @property
    def stem(self) -> str:
        """A name for files that are made from it."""
        if not is_name(self.name):
            return self.path.stem
        return re.sub(r"[^\w.-]+", "_", self.name.partition(":")[2]).strip("_.")[-80:]


Source = str | os.PathLike[str] | Located


def is_name(source: Source) -> bool:
    """Whether a source is a name to look up, and no path."""
    return isinstance(source, str) and source.startswith(SCHEMES) and not Path(source).exists()


def locate(source: Source) -> Located:
    """The checkpoint that ``source`` means, fetched where it is not here yet; :class:`InputError` names the way out."""
    if isinstance(source, Located):
        return source
    if not is_name(source):
        return Located(Path(source), Path(source).name)
    scheme, _, rest = str(source).partition(":")
    known = known_by_source(str(source))
    if scheme in ("https", "http"):
        from benchmarks.checkpoints.sources.web import from_address

        return Located(*from_address(str(source)), "", known)
    if scheme == "hub":
        from benchmarks.checkpoints.sources.web import from_torch_hub

        return Located(from_torch_hub(str(source), known), str(source), "", known)
    from benchmarks.checkpoints.sources.hub import from_hub, from_timm

    path, revision = from_timm(rest) if scheme == "timm" else from_hub(rest)
    name = str(source).partition("@")[0]
    if not rest:
        raise InputError(f"{source} names nothing: for instance timm:vit_small_patch16_224.dino")
    return Located(path, name, revision, known)
