"""The ledger of a conversion: one fate for every source tensor and every target tensor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.checkpoints.card import Card


@dataclass(frozen=True)
class Ledger:
    """What a conversion did. ``loaded``: source name -> canonical name; ``dropped``: source name -> reason."""

    source: str
    method: str
    branch: str
    other_branches: tuple[str, ...]
    prefix: str
    loaded: dict[str, str]
    dropped: dict[str, str]
    other_entries: tuple[str, ...]
    foreign_globals: tuple[str, ...]
    parameters: int
    card: Card

    def to_dict(self) -> dict[str, Any]:
        """The ledger as JSON data."""
        return asdict(self) | {"card": self.card.to_dict()}

    def text(self) -> str:
        """The ledger for people: a page of a terminal."""
        a, proof = self.card.architecture, self.card.provenance
        reasons: dict[str, int] = {}
        for reason in self.dropped.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        rows = [
            ("method", self.method),
            (
                "branch",
                self.branch + (f"   (also there: {', '.join(self.other_branches)})" if self.other_branches else ""),
            ),
            ("prefix", self.prefix or "none"),
            ("network", f"ViT width {a.embed_dim}, depth {a.depth}, patch {a.patch_size}, image {a.image_size}"),
            ("heads", f"{a.num_heads}   (from: {proof.get('num_heads', 'unknown')})"),
            ("tokens", f"class {'yes' if a.class_token else 'no'}, registers {a.registers}, positions {a.position}"),
            ("norm", f"final {'yes' if a.final_norm else 'no'}, eps {a.eps:g}   (from: {proof.get('eps', 'unknown')})"),
            (
                "resize",
                f"{self.card.resize.mode}, offset {self.card.resize.offset:g}, antialias {self.card.resize.antialias}",
            ),
            ("loaded", f"{len(self.loaded)} tensors, {self.parameters:,} values: every tensor of the network, once"),
            *[("dropped", f"{count} tensors: {reason}") for reason, count in reasons.items()],
            ("not read", ", ".join(self.other_entries) or "nothing"),
            (
                "globals",
                ", ".join(self.foreign_globals) + "   (named, not run)" if self.foreign_globals else "none foreign",
            ),
            ("licence", self.card.licence),
            *[("note", note) for note in self.card.notes],
        ]
        return "\n".join(f"{name:<9} {value}" for name, value in [("source", self.source), *rows])
