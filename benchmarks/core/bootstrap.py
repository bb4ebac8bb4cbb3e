"""Bootstrap: between which bounds a score lies when other images (objects, sequences) of the kind had been tested.

Resampling with replacement gives every unit a weight, how often it was drawn; a score is a function of the weights.
Drawing an image twice makes average precision higher, so resampled scores lie around another middle than the score
itself: an interval is their percentiles, moved so that their mean is the score. It says nothing about another seed of a
training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0


def weights(units: int, resamples: int = RESAMPLES, seed: int = SEED) -> Array:
    """How often each of ``units`` was drawn in each of so many resamples: int64 ``[resamples, units]``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / units), size=resamples)


def interval(
    over: str,
    units: int,
    score: Callable[[Array], Mapping[str, Array]],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """A record's ``interval``. ``score`` gives each metric for weights ``[R, units]``: float ``[R]``, NaN for no score.

    A metric without a score in some resample has no interval; fewer than two units have none at all.
    """
    if units < 2:
        return {}
    # One call for the score itself, all weights 1, and the resamples.
    found = score(np.concatenate([np.ones((1, units), np.int64), weights(units, resamples, seed)]))
    exact = {name: float(values[0]) for name, values in found.items()}
    return _around(exact, over, units, {name: values[1:] for name, values in found.items()}, seed)


def of_mean(over: str, values: Mapping[str, Array]) -> dict[str, Any]:
    """The interval of scores that are plain means over units: one value for each, ``[units]``, by metric."""
    units = len(next(iter(values.values())))
    return interval(over, units, lambda drawn: {name: drawn @ v / units for name, v in values.items()})


def of_share(over: str, units: int, percents: Mapping[str, float]) -> dict[str, Any]:
    """The interval of shares of units, in percent: a resampled count of hits is binomial, so the shares are enough."""
    if units < 2:
        return {}
    rng = np.random.default_rng(SEED)
    drawn = {
        name: 100 * rng.binomial(units, round(percent * units / 100) / units, RESAMPLES) / units
        for name, percent in percents.items()
    }
    return _around(percents, over, units, drawn, SEED)


def _around(
    exact: Mapping[str, float], over: str, units: int, scores: Mapping[str, Array], seed: int
) -> dict[str, Any]:
    tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    values = {}
    for name, found in scores.items():
        if np.isfinite(found).all():
            bounds = exact[name] + np.percentile(found - found.mean(), tails)
            # What is never negative stays so, though the move would take a score near zero below it.
            values[name] = [float(bound) for bound in (np.maximum(bounds, 0.0) if found.min() >= 0 else bounds)]
    resamples = len(next(iter(scores.values()), ()))
    return {"level": LEVEL, "over": over, "units": units, "resamples": resamples, "seed": seed, "values": values}
