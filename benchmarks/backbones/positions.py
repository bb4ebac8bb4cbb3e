"""The fixed table that FLSL's networks start from; conversion recognises it and lives without the networks."""

from benchmarks.checkpoints.positions import sincos_mae

__all__ = ["sincos_mae"]
