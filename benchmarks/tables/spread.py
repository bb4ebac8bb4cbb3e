"""Protocol spread: what one checkpoint is worth under every protocol of a benchmark. Read along a row, never down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.core.departures import departures
from benchmarks.core.result import Result

#: Benchmarks whose protocols give one measure on one data set: heading, place in the metrics, factor to percent.
MEASURES = {"davis": ("DAVIS J&F", "J&F-Mean", 100.0)}


@dataclass(frozen=True)
class Spread:
    """Checkpoint -> protocol -> the measure, in percent, on one data set at one scale; every row has two or more."""

    measure: str
    scale: str
    data: str
    protocols: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]


def spreads(results: Sequence[Result]) -> list[Spread]:
    """A spread for each benchmark, scale and data set in which a checkpoint was judged by several protocols.

    Runs with settings of their own (some frames alone) are no protocol's. Of a repeated run the newest counts; a name
    that stands for several weights has the beginning of their hash beside it.
    """
    found: dict[tuple[str, str, str], dict[tuple[str, str], dict[tuple[str, str], float]]] = {}
    for result in sorted(results, key=lambda result: result.started):
        if result.benchmark not in MEASURES or departures(result):
            continue
        _, metric, factor = MEASURES[result.benchmark]
        value = result.metrics.get(metric)
        if value is None:
            continue
        where = (result.benchmark, result.scale, f"{result.data['name']} #{result.data['annotations_sha256'][:6]}")
        weights = (result.name, str(result.checkpoint["sha256"])[:4])
        found.setdefault(where, {}).setdefault(weights, {})[result.task, result.protocol] = factor * value
    return [made for where, rows in found.items() if (made := _spread(where, rows)) is not None]


def _spread(
    where: tuple[str, str, str], rows: Mapping[tuple[str, str], Mapping[tuple[str, str], float]]
) -> Spread | None:
    several = {weights: values for weights, values in rows.items() if len(values) > 1}
    if not several:
        return None
    from benchmarks.core.tasks import tasks

    order = list(tasks())
    kinds = sorted(
        {kind for values in several.values() for kind in values},
        key=lambda kind: (order.index(kind[0]) if kind[0] in order else len(order), kind),
    )
    names = [name for name, _ in several]
    labelled = {
        f"{name} #{digest}" if names.count(name) > 1 else name: {
            kind[1]: values[kind] for kind in kinds if kind in values
        }
        for (name, digest), values in several.items()
    }
    benchmark, scale, data = where
    return Spread(MEASURES[benchmark][0], scale, data, tuple(protocol for _, protocol in kinds), labelled)


def in_words(name: str, values: Mapping[str, float], measure: str = "J&F") -> str:
    """One line: the protocols from the lowest to the highest value, and how far these are apart."""
    ranked = sorted(values, key=lambda protocol: values[protocol])
    each = ", ".join(f"{protocol} {values[protocol]:.2f}" for protocol in ranked)
    apart = values[ranked[-1]] - values[ranked[0]]
    return f"protocol spread of {name}: {measure} {apart:.2f} points over {len(ranked)} protocols ({each})"


def lines(results: Sequence[Result]) -> list[str]:
    """:func:`in_words` of every checkpoint in :func:`spreads`."""
    return [in_words(n, values, found.measure) for found in spreads(results) for n, values in found.rows.items()]
