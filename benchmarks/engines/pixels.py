"""What a checkpoint's card says about pixels, in the spelling of the detection libraries."""

from __future__ import annotations

from benchmarks.checkpoints.card import Card


def pixel_statistics(card: Card) -> tuple[list[float], list[float]]:
    """A card's mean and standard deviation, RGB, for pixels of 0 ... 255."""
    return [round(255 * value, 6) for value in card.mean], [round(255 * value, 6) for value in card.std]
