"""timm (huggingface/pytorch-image-models): hub folders with config.json, and its trainer's files with ``arch``.

An architecture's name with the constructor's arguments says everything that tensors do not. Networks that the house's
ViT is (:mod:`benchmarks.checkpoints.timm_house`) become one; the others run in timm's own class. Bare state dicts name
nothing: they are in ``bare.py``. With registers timm stores no class row: the class token holds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.inert import facts_of
from benchmarks.checkpoints.names import ZEROS, Layout, Source, row
from benchmarks.checkpoints.timm_house import house_facts
from benchmarks.checkpoints.timm_networks import checked_arguments, describe, is_known, why_unknown
from benchmarks.errors import InputError

DINOV3_BASE = 100.0
PLACES = (
    Place("state_dict_ema", ("state_dict_ema",)),
    Place("state_dict", ("state_dict",)),
    Place(WHOLE_FILE),
)
BY_USER = "named by the user"  # in a configuration that stands for config.json
POOLED = "norm of the pooled vector, not of the tokens"
DROPS = {
    r"head(?:_dist)?\.(?!norm\.)": "classifier",
    r"(?:fc_norm|head\.norm)\.": POOLED,
    r"attn_pool\.": "pooling head",
    r".*(?:relative_position_index|relative_coords_table|attn_mask)$": "index that the network computes",
}


def _eva(gated: bool) -> Layout:
    """Names of timm's Eva, in which it holds DINOv3: another LayerScale, biases apart, no periods."""
    block = "blocks.{i}"
    gate = (f"{block}.mlp.fc1_g.{{p}}", f"{block}.mlp.fc1_x.{{p}}")
    same: tuple[str, ...] = ("cls_token", "reg_token", "patch_embed.proj.{p}", "norm.{p}", f"{block}.attn.qkv.weight")
    same += tuple(f"{block}.{name}.{{p}}" for name in ("norm1", "norm2", "attn.proj", "mlp.fc2"))
    return Layout(
        "timm's Eva names",
        sentinel="patch_embed.proj.weight",
        rows=(
            *map(row, same),
            row(f"{block}.attn.qkv.bias", (f"{block}.attn.q_bias", ZEROS, f"{block}.attn.v_bias")),
            row(f"{block}.ls1.gamma", f"{block}.gamma_1"),
            row(f"{block}.ls2.gamma", f"{block}.gamma_2"),
            row(f"{block}.mlp.fc1.{{p}}", gate if gated else f"{block}.mlp.fc1.{{p}}"),
        ),
    )


EVA, EVA_GATED = _eva(gated=False), _eva(gated=True)


class OwnNames(Layout):
    """The names of the class that runs the network: every tensor keeps its own."""

    def find(self, names: Mapping[str, object]) -> tuple[dict[str, Source], list[str]]:
        """Each name as it is; :meth:`TimmOwn.prepare` has dropped what is no part of the network."""
        return {name: Source((name,)) for name in names}, []


class Timm(Family):
    """A network of timm by name that the house's ViT is."""

    method, licence, rank = "unknown (layout timm)", "unknown (each timm model has its own)", 10
    places = PLACES
    drops = table(DROPS)
    resize = ANTIALIAS_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return (named := named_network(opened)) is not None and house_facts(describe(*named)[1]) is not None

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        name, arguments = named_network(opened) or ("", {})
        architecture, network = describe(name, arguments)
        known = house_facts(network) or {}
        compare(name, network, taken.tensors)
        facts.learn("file" if "num_heads" in arguments else "table", heads=known["heads"])
        facts.learn("table", eps=known["eps"], activation=known["activation"])
        facts.odd_class_row = known.get("prefix_rows") == 0
        if "rope_base" in known:
            facts.learn("table", rope_base=known["rope_base"], image_size=architecture.image_size[0])
        if any(name.startswith("fc_norm.") for name in taken.tensors):
            taken.notes.append("this network norms the pooled vector; its tokens are raw")
        learn_input(facts, opened, name)
        return facts


class TimmOwn(Timm):
    """A network of timm by name that timm's class runs."""

    kind = "timm"

    def __init__(self, sentinel: str, axes: int) -> None:
        self.layout = OwnNames("timm names", (), sentinel, axes)

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return (named := named_network(opened)) is not None and house_facts(describe(*named)[1]) is None

    def prepare(self, opened: Opened, taken: Taken) -> None:
        for name in list(taken.tensors):
            if reason := next((why for pattern, why in self.drops.items() if re.match(pattern, name)), None):
                taken.drop(name, reason)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = Family.facts(self, opened, taken)
        name, arguments = named_network(opened) or ("", {})
        facts.network, network = describe(name, arguments)
        compare(name, network, taken.tensors)
        heads = facts.network.num_heads
        facts.learn("file" if "num_heads" in arguments else "table", heads=heads, network=facts.network)
        learn_input(facts, opened, name)
        return facts


def named_network(opened: Opened) -> tuple[str, dict[str, Any]] | None:
    """Architecture and constructor arguments, as config.json or timm's trainer name them; None when they do not."""
    config = opened.config or {}
    if isinstance(name := config.get("architecture"), str):
        name = name.partition(".")[0]  # a tag names weights, not a network
        return (name, checked_arguments(name, config.get("model_args"))) if is_known(name) else None
    if opened.config is not None or not isinstance(opened.content, dict):
        return None
    name = opened.content.get("arch")
    if not isinstance(name, str) or not is_known(name):
        return None
    said = facts_of(opened.content.get("args"))
    given = dict(facts_of(said.get("model_kwargs")))
    if isinstance(said.get("img_size"), int):
        given.setdefault("img_size", said["img_size"])
    return name, checked_arguments(name, given)


def name_network(opened: Opened, named: str) -> Opened:
    """A bare file with the user's word on its network: ``NAME``, or ``NAME,argument=value,...`` for the constructor."""
    name, *given = named.removeprefix("timm:").split(",")
    if opened.config is not None:
        raise InputError(f"--architecture {named} was given, but its config.json names the network: leave it out")
    if not is_known(name.partition(".")[0]):
        raise InputError(f"--architecture {name!r} is not run here: {why_unknown(name.partition('.')[0])}")
    arguments: dict[str, Any] = {}
    for pair in given:
        key, _, value = pair.partition("=")
        try:
            arguments[key] = json.loads(value)
        except ValueError as error:
            raise InputError(f"--architecture ...,{pair}: give argument=value, a number or true or false") from error
    return opened._replace(config={"architecture": name, "model_args": arguments, BY_USER: True})


def compare(name: str, network: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """:class:`InputError` when the tensors are not of the network that the file names."""
    named = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for key in ("patch_embed.proj.weight", "pos_embed"):
        theirs = tuple(tensors[key].shape) if key in tensors else None
        if named.get(key) != theirs:
            raise InputError(
                f"the file says {name}, whose {key} is {_shape(named.get(key))}, and holds {_shape(theirs)}: "
                "they are not of one net, or arguments of the constructor are missing (model_args)"
            )
    depths = [len({key.split(".")[1] for key in names if key.startswith("blocks.")}) for names in (named, tensors)]
    if depths[0] != depths[1]:
        raise InputError(f"the file says {name}, of {depths[0]} blocks, and holds {depths[1]}: it is cut, or mixed up")


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else "x".join(map(str, shape))


def learn_input(facts: Facts, opened: Opened, name: str) -> None:
    """Normalisation and licence: the file's word, or timm's for the architecture's published weights."""
    from timm.models import get_pretrained_cfg

    config = opened.config or {}
    facts.provenance["architecture"] = "user" if BY_USER in config else "file"
    published = get_pretrained_cfg(config.get("architecture") or name)
    if published is not None:
        facts.learn("table", mean=_triple(published.mean), std=_triple(published.std))
    settings = config.get("pretrained_cfg")
    if isinstance(settings, dict):
        facts.learn("file", mean=_triple(settings.get("mean")), std=_triple(settings.get("std")))
        if isinstance(settings.get("license"), str):
            facts.learn("file", licence=settings["license"])


def _triple(value: Any) -> tuple[float, float, float] | None:
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value):
        return float(value[0]), float(value[1]), float(value[2])
    return None


#: A tensor by which each class of timm is recognised, and its axes.
SENTINELS = (
    ("patch_embed.proj.weight", 4),
    ("embeds.proj.weight", 2),
    ("embeds.proj.weight", 4),
    ("stem.0.weight", 4),
)
FAMILIES = (Timm(), *(TimmOwn(*sentinel) for sentinel in SENTINELS))
