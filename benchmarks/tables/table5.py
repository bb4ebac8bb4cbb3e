"""Table 5 of the paper: the coefficients (v, eta, gamma) of the FLSL objective."""

from __future__ import annotations

from benchmarks.tables.ablation import Setting, ablation


def _setting(sinkhorn: bool, v: float, gamma: float, paper: float) -> Setting:
    overrides = (f"objective.intra={v}", "objective.inter=1.0", f"objective.volume={gamma}")
    name = f"{'sinkhorn' if sinkhorn else 'plain'}-v{v:g}-gamma{gamma:g}"
    return Setting(name, (*overrides, "objective.sinkhorn=true") if sinkhorn else overrides, paper)


_SETTINGS = (
    _setting(True, 0.0, 1.0, 0.1),
    _setting(True, 0.01, 1.0, 68.7),
    _setting(True, 0.02, 1.0, 70.7),
    _setting(True, 0.03, 1.0, 71.2),
    _setting(True, 0.1, 1.0, 65.1),
    _setting(False, 0.03, 1.0, 66.6),
    _setting(False, 0.03, 5.0, 72.4),
)

ABLATION = ablation(5, "bbox-aligned k-NN top-1 by the coefficients of the objective", _SETTINGS, _SETTINGS)
TABLE = ABLATION.table
