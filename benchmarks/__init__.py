"""Dense-prediction benchmarks for self-supervised vision checkpoints.

Importing this package imports no detection or segmentation library: only ``benchmarks.engines``
does, and only when an engine is used.
"""

__version__ = "0.1.0"
