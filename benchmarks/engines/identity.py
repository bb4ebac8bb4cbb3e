"""What of an engine's config decides a number: all of it but paths, processes and what is only said along the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Keys that say where something lies, how the work is cut up, or what is logged.
UNIMPORTANT = frozenset(
    {
        "work_dir", "data_root", "checkpoint", "load_from", "resume", "output_dir", "out", "ground_truth", "launcher",
        "num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "log_level", "log_processor",
        "visualizer", "vis_backends", "env_cfg", "default_hooks", "filename", "custom_imports",
    }
)  # fmt: skip


def resolved_config(config: Any) -> Any:
    """``config`` (mmengine's or detectron2's, with its bases) as plain JSON data that is the same everywhere."""
    if isinstance(config, Mapping):
        kept = {str(key): resolved_config(value) for key, value in config.items() if key not in UNIMPORTANT}
        return {key: kept[key] for key in sorted(kept)}
    if isinstance(config, str | int | float | bool) or config is None:
        return config
    if callable(config):  # LazyConfig's targets: their addresses are another every time
        return f"{getattr(config, '__module__', '')}.{getattr(config, '__qualname__', type(config).__qualname__)}"
    if isinstance(config, set | frozenset):
        return sorted(resolved_config(value) for value in config)
    if hasattr(config, "__iter__"):
        return [resolved_config(value) for value in config]
    return str(config)
