"""OpenMMLab: ViTs of mmpretrain (mmselfsup) and mmseg, ResNets of mmselfsup, and the house's own mmdet/mmseg files.

Both call their parts alike, and differ in the attention: mmpretrain keeps ``attn.qkv``, mmseg stacks into
``attn.attn.in_proj_*``. mmseg's default eps is 1e-5. Files of a runner hold the config as text in ``meta.cfg``,
which is parsed, not run: heads and eps are there. mmpretrain's "small" is 768 wide, 8 deep, with 8 heads.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture, Card
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import PLAIN, RESNET
from benchmarks.checkpoints.inert import facts_of
from benchmarks.checkpoints.names import Layout, Row, row
from benchmarks.errors import InputError

HOUSE_PREFIX = "backbone.vit."
CARD_IN_METADATA = "house_card"
BLOCK, OURS = "layers.{i}", "blocks.{i}"
NOT_NAMED = "unknown (the file does not name its method)"
PLACES = (
    Place("state_dict", ("state_dict",), "backbone."),
    Place("state_dict", ("state_dict",)),
    Place(WHOLE_FILE, (), "backbone."),
    Place(WHOLE_FILE),
)
DROPS = {
    r"(?:\w+_)?head\.": "head",
    r"neck\.": "neck",
    r"data_preprocessor\.": "mean and std of the preprocessor",
    r"(?:target_|momentum_|teacher_)\w*\.": "other branch or target",
    r"mask_token$": "mask token",
    r"ln2\.": "norm of the averaged map, not of the tokens",
    r"queue": "queue",
}


def _layout(name: str, attention: tuple[Row, ...], mark: str) -> Layout:
    return Layout(
        name,
        sentinel=mark,
        axes=2,
        rows=(
            row("cls_token"),
            row("pos_embed"),
            row("reg_token"),
            row("patch_embed.proj.{p}", "patch_embed.projection.{p}"),
            row(f"{OURS}.norm1.{{p}}", f"{BLOCK}.ln1.{{p}}"),
            *attention,
            row(f"{OURS}.ls1.gamma", f"{BLOCK}.attn.gamma1.weight"),
            row(f"{OURS}.norm2.{{p}}", f"{BLOCK}.ln2.{{p}}"),
            row(f"{OURS}.mlp.fc1.{{p}}", f"{BLOCK}.ffn.layers.0.0.{{p}}", f"{BLOCK}.ffn.w12.{{p}}"),
            row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.ffn.layers.1.{{p}}", f"{BLOCK}.ffn.w3.{{p}}"),
            row(f"{OURS}.ls2.gamma", f"{BLOCK}.ffn.gamma2.weight"),
            row("norm.{p}", "ln1.{p}"),
        ),
    )


MMPRETRAIN = _layout(
    "mmpretrain names",
    (
        row(f"{OURS}.attn.qkv.{{p}}", f"{BLOCK}.attn.qkv.{{p}}"),
        row(f"{OURS}.attn.proj.{{p}}", f"{BLOCK}.attn.proj.{{p}}"),
    ),
    "layers.0.attn.qkv.weight",
)
MMSEG = _layout(
    "mmseg names",
    (
        row(f"{OURS}.attn.qkv.{{p}}", f"{BLOCK}.attn.attn.in_proj_{{p}}"),
        row(f"{OURS}.attn.proj.{{p}}", f"{BLOCK}.attn.attn.out_proj.{{p}}"),
    ),
    "layers.0.attn.attn.in_proj_weight",
)


class MMPretrainViT(Family):
    method, licence, rank = "unknown (layout mmpretrain)", NOT_NAMED, 20
    known = "unknown"
    layout, places, drops = MMPRETRAIN, PLACES, DROPS
    resize = SIZE_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True  # the names are its own

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        settings = backbone_settings(opened)
        arch = settings.get("arch")
        heads = settings.get("num_heads") or (arch.get("num_heads") if isinstance(arch, dict) else None)
        if isinstance(heads, int) and not isinstance(heads, bool):
            facts.learn("file", heads=heads)
        norm = settings.get("norm_cfg")
        if isinstance(norm, dict) and norm.get("type") in ("LN", "LayerNorm"):
            facts.learn("file", eps=float(norm.get("eps", 1e-5)))  # mmcv's builder fills 1e-5 in
        return facts


class MMSegViT(MMPretrainViT):
    """Its patch embedding has no bias unless the config asks for one."""

    method = "unknown (layout mmseg)"
    layout = MMSEG
    eps = 1e-5

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        facts.zero_bias = ("patch_embed.proj.bias",)
        return facts


class MMResNet(ResNetFamily):
    """mmselfsup, mmpretrain: torchvision names under ``backbone.``."""

    method, licence, rank = "unknown (layout mmselfsup ResNet)", NOT_NAMED, 50
    known = "unknown"
    layout = RESNET
    places = (
        Place("state_dict", ("state_dict",), "backbone."),
        Place(WHOLE_FILE, (), "backbone."),
    )
    drops = table(
        {
            **DROPS,
            **ResNetFamily.drops,
            r"encoder_[qk]\.": "other branch: the method's encoders",
            r"(?:online|target)_net\.": "other branch: the method's networks",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


class HouseInOpenMMLab(Family):
    """What ``--target mmdet`` and ``--target mmseg`` write: the card comes with it and has every fact."""

    method, licence, rank, layout = "house backbone", "see card", 5, PLAIN
    places: tuple[Place, ...] = (
        Place("state_dict", ("state_dict",), HOUSE_PREFIX),
        Place(WHOLE_FILE, (), HOUSE_PREFIX),
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return isinstance(self._card(opened), dict)  # lightly's training files have the prefix, too

    @staticmethod
    def _card(opened: Opened) -> Any:
        return facts_of(opened.content.get("meta")).get("card") or _json(opened.metadata.get(CARD_IN_METADATA))

    def _of_network(self, card: Card) -> Facts:
        a = card.architecture
        if not isinstance(a, Architecture):
            raise InputError("the card in it is of another network: convert the source again")
        return Facts(card.method, card.licence, card.resize, a.eps, a.num_heads, a.activation, a.image_size)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        data = self._card(opened)
        card = Card.from_dict(data, "the card in it")
        facts = self._of_network(card)
        facts.mean, facts.std, facts.odd_class_row = card.mean, card.std, True
        facts.provenance["method"] = card.provenance.get("method", "unknown")
        facts.provenance |= dict.fromkeys(
            ("num_heads", "eps", "resize", "mean", "std", "licence", "activation"), "file"
        )
        return facts


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


#: Classes of ViTs in configs whose keywords are known here.
VIT_TYPES = ("VisionTransformer", "MAEViT", "MoCoV3ViT", "BEiTViT", "mmpretrain.VisionTransformer")


def backbone_settings(opened: Opened, types: tuple[str, ...] = VIT_TYPES) -> dict[str, Any]:
    """The keywords of the ViT in the config that a runner saved as text; empty when there is none."""
    meta = opened.content.get("meta") if isinstance(opened.content, dict) else None
    text = facts_of(meta).get("cfg") or facts_of(meta).get("config")
    if not isinstance(text, str) or len(text) > 1 << 20:
        return {}
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    for call in _dicts(tree):
        if call.get("type") in types:
            return call
    return {}


def _dicts(tree: ast.AST) -> Iterator[dict[str, Any]]:
    """Every ``dict(...)`` and ``{...}`` of literals in a parsed config, outermost first. Nothing is evaluated."""
    for node in ast.walk(tree):
        value = _literal(node)
        if isinstance(value, dict):
            yield value


def _literal(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {item.arg: _literal(item.value) for item in node.keywords if item.arg}
    if isinstance(node, ast.Dict):
        return {
            k.value: _literal(v) for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)
        }
    return None


FAMILIES = (MMPretrainViT(), MMSegViT(), MMResNet(), HouseInOpenMMLab())
