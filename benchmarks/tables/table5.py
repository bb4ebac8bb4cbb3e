"""Table 5 of the paper: the coefficients (v, eta, gamma) of the FLSL objective."""

from __future__ import annotations

from benchmarks.tables.ablation import Setting, ablation

#: Centroids of the paper's configuration, and of the small one.
CLUSTERS, MINI_CLUSTERS = 4096, 256


def _setting(sinkhorn: bool, v: float, gamma: float, paper: float, clusters: int = CLUSTERS) -> Setting:
    overrides = (f"objective.intra={v}", "objective.inter=1.0", f"objective.volume={gamma}")
    name = f"{'sinkhorn' if sinkhorn else 'plain'}-v{v:g}-gamma{gamma:g}"
    means = {"objective.intra": v, "objective.inter": 1.0, "objective.volume": gamma, "objective.sinkhorn": sinkhorn}
    means["model.clusters"] = clusters
    return Setting(name, (*overrides, "objective.sinkhorn=true") if sinkhorn else overrides, paper, means)


_CELLS = (
    (True, 0.0, 1.0, 0.1),
    (True, 0.01, 1.0, 68.7),
    (True, 0.02, 1.0, 70.7),
    (True, 0.03, 1.0, 71.2),
    (True, 0.1, 1.0, 65.1),
    (False, 0.03, 1.0, 66.6),
    (False, 0.03, 5.0, 72.4),
)
_SETTINGS, _MINI = (tuple(_setting(*cell, clusters) for cell in _CELLS) for clusters in (CLUSTERS, MINI_CLUSTERS))

ABLATION = ablation(5, "bbox-aligned k-NN top-1 by the coefficients of the objective", _SETTINGS, _MINI)
TABLE = ABLATION.table
