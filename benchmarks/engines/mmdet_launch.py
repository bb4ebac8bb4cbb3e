"""Where the engines' runs look up which process they are; see :mod:`benchmarks.processes`."""

from benchmarks.processes import is_first_process

__all__ = ["is_first_process"]
