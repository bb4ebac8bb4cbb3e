"""The configuration of a pretraining run: one YAML file, and ``section.key=value`` on the command line.

Every key is a field below; an unknown key, or a value of another type, is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import InputError
from benchmarks.files import require_file
from pretrain.rules import check


@dataclass(frozen=True)
class ModelConfig:
    """The ViT and the projection head. Sizes in pixels; ``image_size`` is the global view's side."""

    embed_dim: int = 384
    depth: int = 12
    num_heads: int = 6
    patch_size: int = 16
    image_size: int = 224
    drop_path: float = 0.1
    fixed_positions: bool = True  # MAE's sine-cosine table, as published; False: learned
    position_scale: float = 1.0  # factor of the fixed table: below 1 a weaker code, which content is louder than
    position_dropout: float = 0.0  # share of the student's views without a position code: a place cannot be copied
    class_token: bool = False  # for the control alone: FLSL has none
    final_norm: str = "tokens"  # tokens | modes (published --layernorm_on_mode) | none
    clusters: int = 4096  # K
    head_hidden_dim: int = 2048
    head_bottleneck_dim: int = 256
    unit_centroids: bool = True


@dataclass(frozen=True)
class DataConfig:
    """An ImageFolder tree (``root/<class>/<image>``, any depth) or a flat folder; labels are never read."""

    root: str = ""
    workers: int = 8  # loader processes for each training process
    max_broken: float = 0.001  # fraction of undecodable images above which the run ends
    augment_on: str = "auto"  # cpu: by the loader; device: batches where the networks are; auto: device if a GPU


@dataclass(frozen=True)
class ViewsConfig:
    """Crops (area fractions of what they are cut from) and augmentation of protocols section 8."""

    teacher_scale: tuple[float, float] = (0.8, 1.0)
    student_scale: tuple[float, float] = (0.5, 1.0)
    local_scale: tuple[float, float] = (0.05, 0.4)
    local_size: int = 96
    local_views: int = 2
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)  # brightness, contrast, saturation, hue
    jitter_probability: float = 0.8
    grey_probability: float = 0.2
    global_window: int = 3  # one query in each window of this many tokens a side
    local_window: int = 2
    random_queries: bool = False  # a random token of the window instead of its top left one


@dataclass(frozen=True)
class ObjectiveConfig:
    """Eq. 13. Temperatures: ``*_temp`` divide logits; ``sa_/ca_temperature`` multiply raw dot products.

    ``kind: dino`` is the control: DINO's loss on one vector a view (``model.class_token``, or the mean of the tokens)
    with DINO's centring. Of the keys below it knows the temperatures of student and teacher, and ``center_momentum``.
    """

    kind: str = "flsl"  # flsl | dino
    both_globals: bool = False  # dino: as published, each network sees both global views; False: FLSL's views
    intra: float = 0.03  # v
    inter: float = 1.0  # eta
    volume: float = 5.0  # gamma; at 0 the term is still computed and logged
    volume_term: bool = True  # published --volume_maximization; False: the term does not exist
    prior: str = ""  # text file of K cluster proportions that sum to one; empty: uniform
    intra_start: float | None = None  # cosine from here to intra; None: constant
    student_temp: float = 0.1
    teacher_temp: float = 0.07
    teacher_temp_start: float = 0.04
    teacher_temp_warmup_epochs: int = 30
    sa_temperature: float = 0.00510310363079829  # 0.1 / sqrt(384)
    ca_temperature: float = 0.01020620726159658  # 0.2 / sqrt(384)
    sa_temperature_start: float | None = None
    ca_temperature_start: float | None = None
    centering: bool = False  # subtract a moving mean from the teacher's logits, as DINO
    center_momentum: float = 0.9
    sinkhorn: bool = False  # softmax of the teacher's logits over the batch (paper, section 5.6)
    centred_retrieval: bool = (
        False  # Eq. 12's attention without what the tokens of a grey image say: places cannot match
    )
    projected_epochs: int = 0  # first epochs whose positives sit at the projected positions (paper, section 4.2)


@dataclass(frozen=True)
class PreviousConfig:
    """Multi-stage training: a frozen encoder of an earlier stage whose attention is mixed into Eq. 12."""

    checkpoint: str = ""  # canonical or convertible checkpoint; empty: one stage
    heads: int = 0  # of a checkpoint that cannot tell; 0: it can
    blocks: int = 11  # features after this many blocks, without final norm (published --attention_level)
    temperature: float = 0.01020620726159658  # 0.2 / sqrt(384), published --prev_ca_temp
    sharpness: float = 1e4  # of the sigmoid that makes its attention map nearly binary
    share_end: float = 1.0  # its share at the end, from 1 at the start along a cosine (published --mixture_bias)


@dataclass(frozen=True)
class OptimConfig:
    """AdamW. ``lr`` is for a batch of 256 images and scales linearly with the global batch."""

    lr: float = 5e-4
    min_lr: float = 1e-6
    warmup_fraction: float = 0.1  # of the epochs, whole ones
    warmup_steps: int = 0  # instead of that fraction, for runs of few epochs; 0: the fraction
    weight_decay: float = 0.04
    weight_decay_end: float = 0.4
    momentum_teacher: float = 0.996  # to 1 along a cosine
    clip: float = 3.0  # norm of each single parameter's gradient; 0 switches it off
    freeze_last_layer_epochs: int = 1


@dataclass(frozen=True)
class RunConfig:
    """The run itself. A step sees ``batch * accumulate`` images in each process."""

    out: str = "runs/pretrain"
    epochs: int = 300
    batch: int = 64  # images a process holds at once
    accumulate: int = 1  # such batches a step; the gradients are those of one large batch
    seed: int = 0
    precision: str = "bf16"  # bf16 | fp16 (with loss scaling) | fp32
    device: str = "auto"  # auto | cpu | cuda
    compile: bool = False  # torch.compile the encoders
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more time
    snapshot_steps: int = 0  # a snapshot every so many steps, besides the end of each epoch; 0: none
    snapshot_minutes: float = 15.0
    keep: int = 3  # snapshots
    log_every: int = 20  # steps
    picture_epochs: int = 10  # attention pictures every so many epochs; 0: none
    tensorboard: bool = True  # needs the tensorboard package; log.jsonl is always written
    export: str = "teacher"  # canonical checkpoints at the end: teacher | both | none


@dataclass(frozen=True)
class Config:
    """Everything ``python -m pretrain`` needs to know."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    previous: PreviousConfig = field(default_factory=PreviousConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)


def load_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Config:
    """Read a YAML file and apply ``section.key=value`` overrides; :class:`InputError` names what is wrong."""
    path = require_file(path, "config")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a YAML file: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no sections: a config is a mapping of sections to keys")
    for override in overrides:
        name, separator, text = override.partition("=")
        section, dot, key = name.partition(".")
        if not separator or not dot:
            raise InputError(f"override {override!r} is not of the form section.key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"override {override!r}: the value is not YAML") from error
        tree.setdefault(section, {})
        if not isinstance(tree[section], dict):
            raise InputError(f"{path}: section {section!r} must be a mapping")
        tree[section][key] = value
    return config_from_dict(tree, where=str(path))


def config_from_dict(tree: dict[str, Any], where: str) -> Config:
    """Build a :class:`Config` from plain data; ``where`` names its origin in errors."""
    sections = typing.get_type_hints(Config)
    built = {}
    for section, values in tree.items():
        if section not in sections:
            raise InputError(f"{where}: unknown section {section!r}{_nearest(section, sections)}")
        hints = typing.get_type_hints(sections[section])
        if not isinstance(values, dict):
            raise InputError(f"{where}: section {section!r} must be a mapping of keys to values")
        for key in values:
            if key not in hints:
                elsewhere = [name for name, other in sections.items() if key in typing.get_type_hints(other)]
                hint = f": did you mean {elsewhere[0]}.{key}?" if elsewhere else _nearest(key, hints)
                raise InputError(f"{where}: unknown key {section}.{key}{hint}")
        built[section] = sections[section](
            **{key: _coerce(value, hints[key], f"{section}.{key}", where) for key, value in values.items()}
        )
    config = Config(**built)
    check(config, where)
    return config


def _coerce(value: Any, hint: Any, name: str, where: str) -> Any:
    """Give ``value`` the type ``hint`` names; YAML reads ``5e-4`` as text and ``1`` as an int."""
    options = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return None if value is None else _coerce(value, options[0], name, where)
    if typing.get_origin(hint) is tuple:
        if isinstance(value, (list, tuple)) and len(value) == len(options):
            return tuple(_coerce(item, kind, name, where) for item, kind in zip(value, options, strict=True))
        raise InputError(f"{where}: {name} must be a list of {len(options)} numbers, not {value!r}")
    if hint is float and not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            if math.isfinite(number := float(value)):
                return number
    elif type(value) is hint:
        return value
    kind = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}[hint]
    raise InputError(f"{where}: {name} must be {kind}, not {value!r}")


def _nearest(name: str, known: typing.Iterable[str]) -> str:
    match = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {match[0]!r}?" if match else f": known are {', '.join(known)}"


def as_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain data, tuples as lists: what is stored and compared on resume."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(dataclasses.asdict(config))
