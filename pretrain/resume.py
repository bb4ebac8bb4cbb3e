"""May a run go on from a snapshot? Only if what it computes is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from pretrain.config import Config, as_dict

#: Keys that may differ between the parts of one run: they change how it runs, not what it computes.
FREE_ON_RESUME = {
    "data": {"root", "workers", "max_broken", "augment_on"},  # views are the same to a grey level
    "run": {
        "out",
        "batch",  # the images a step, over all processes and parts, must stay the same
        "accumulate",
        "device",
        "compile",
        "checkpointing",
        "snapshot_steps",
        "snapshot_minutes",
        "keep",
        "log_every",
        "picture_epochs",
        "tensorboard",
        "export",
    },
}


def refuse_other_run(
    path: Path, state: dict[str, Any], config: Config, global_batch: int, data: dict[str, Any]
) -> None:
    """:class:`InputError` when the snapshot ``state`` in ``path`` is of a run that computes something else.

    That is: a key of the config differs that is not in :data:`FREE_ON_RESUME`, the images a step (``global_batch``)
    do, or the images themselves (``data``: how many, and a fingerprint of their names).
    """
    stored, asked, defaults = state["args"]["config"], as_dict(config), as_dict(Config())
    for section, values in asked.items():
        for key, value in values.items():
            before = stored.get(section, {}).get(key, defaults[section][key])  # a key that came later: as it was
            if key not in FREE_ON_RESUME.get(section, ()) and before != value:
                raise InputError(
                    f"{path} was trained with {section}.{key}={before}, now {value} is asked: use another run.out, or "
                    "move the snapshots away"
                )
    if state["global_batch"] != global_batch:
        raise InputError(
            f"{path} was trained with {state['global_batch']} images a step, now it would be {global_batch}: "
            "keep processes x run.accumulate x run.batch"
        )
    if state["data"] != data:
        raise InputError(
            f"{path} was trained on other images than {config.data.root} holds ({state['data']['images']}, now "
            f"{data['images']}): give the same data, or another run.out"
        )
