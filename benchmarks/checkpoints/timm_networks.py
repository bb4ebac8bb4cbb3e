"""Networks of timm by name: which are run here, what their constructors take, and what they are made of.

timm's tensors alone do not tell rotary positions, post-norm or the activation; the architecture's name with the
constructor's arguments, as a config.json has them, tells everything. :data:`MODULES` is the list of what has been
compared with timm; a name from elsewhere is refused. Sources: huggingface/pytorch-image-models 1.0.31.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from benchmarks.checkpoints.card import TimmArchitecture
from benchmarks.errors import InputError

#: timm's modules whose networks are run here -> what makes their constructors take images of any size.
MODULES = {
    "vision_transformer": {"dynamic_img_size": True},
    "deit": {"dynamic_img_size": True},
    "eva": {"dynamic_img_size": True},
    "swin_transformer": {"dynamic_img_size": True},
    "naflexvit": {},  # takes any size as it is
    "convnext": {},
    "beit": {},
    "vision_transformer_relpos": {},
}
FIXED = ("beit", "vision_transformer_relpos")  # tables of one size
#: Constructor arguments that change no feature in evaluation, or that are ours to decide.
OURS = {"num_classes", "in_chans", "dynamic_img_size", "strict_img_size", "weight_init", "head_init_scale", "fix_init"}
OURS |= {f"{part}drop{what}_rate" for part, what in (("", ""), ("", "_path"), ("pos_", ""), ("patch_", ""))}
OURS |= {"proj_drop_rate", "attn_drop_rate"}
#: Arguments that are classes or functions: they cannot come from a file.
CALLABLES = {"embed_layer", "embed_norm_layer", "block_fn", "mlp_layer", "attn_layer", "device", "dtype", "cfg", "self"}
#: Parts of the classifier, which the features do not pass.
HEADS = ("head", "head_dist", "fc_norm", "attn_pool")
LARGEST = 1 << 16  # of any number in the arguments: a damaged file must not ask for terabytes


def is_known(name: object) -> bool:
    """Whether a name is of an architecture that is run here."""
    return isinstance(name, str) and _module_of(name) in MODULES


def why_unknown(name: str) -> str:
    """What keeps an architecture from being run here."""
    module = _module_of(name)
    return f"it is of timm's {module}, which has not been compared here" if module else "timm does not know it"


def make(architecture: TimmArchitecture, drop_path_rate: float = 0.0) -> nn.Module:
    """The network of a card, freshly initialised, without its classifier."""
    a = architecture
    return _make(a.name, a.arguments, a.eps, a.norm_tokens, drop_path_rate)


def describe(
    name: str, arguments: dict[str, Any], eps: float | None = None, norm_tokens: bool = False
) -> tuple[TimmArchitecture, nn.Module]:
    """The architecture that a name and arguments stand for, and its network without values (on the meta device).

    :class:`InputError` when timm does not know the name, the arguments do not suit it, or it is not run here.
    """
    text = json.dumps(arguments, sort_keys=True, default=repr)
    return _describe(name, text, eps, norm_tokens)


@lru_cache(maxsize=8)
def _describe(name: str, text: str, eps: float | None, norm_tokens: bool) -> tuple[TimmArchitecture, nn.Module]:
    arguments = json.loads(text)
    with torch.device("meta"):
        network = _make(name, arguments, eps, norm_tokens)
    info = list(network.feature_info)
    info = info if _is_pyramid(network) else info[-1:]
    blocks = getattr(network, "blocks", None)
    grid = getattr(getattr(network, "patch_embed", None), "img_size", None) or arguments.get("img_size") or 224
    architecture = TimmArchitecture(
        name=name,
        arguments=arguments,
        embed_dim=info[-1]["num_chs"],
        depth=len(blocks) if blocks is not None else sum(len(stage.blocks) for stage in stages_of(network)),
        widths=tuple(level["num_chs"] for level in info),
        strides=tuple(_one(level["reduction"]) for level in info),
        image_size=(grid, grid) if isinstance(grid, int) else tuple(grid),
        num_heads=heads_of(network),
        prefix=getattr(network, "num_prefix_tokens", 0),
        eps=eps,
        norm_tokens=norm_tokens,
        fixed_size=hasattr(network, "set_input_size") and _module_of(name) in FIXED,
    )
    return architecture, network


def stages_of(network: Any) -> Iterable[Any]:
    """The stages of a hierarchical network."""
    return network.stages if hasattr(network, "stages") else network.layers


def heads_of(network: nn.Module) -> int | None:
    """The number of attention heads; None when blocks differ in it, or have none."""
    found = {m.num_heads for name, m in network.named_modules() if "blocks." in name and hasattr(m, "num_heads")}
    return found.pop() if len(found) == 1 else None


def checked_arguments(name: str, arguments: Any) -> dict[str, Any]:
    """What of a file's arguments reaches the constructor of ``name``; :class:`InputError` for what must not."""
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise InputError(f"the arguments of {name} are no object: copy the folder again")
    kept = {}
    for key, value in arguments.items():
        if key == "in_chans" and value != 3:
            raise InputError(f"{name} is for images of {value} channels; images of 3 are known here")
        if key in OURS:
            continue
        if not isinstance(key, str) or key not in _parameters(name):
            raise InputError(f"the argument {key!r} of {name} is not known here: it is not converted")
        if not _is_plain(value):
            raise InputError(f"the argument {key}={value!r} of {name} cannot be used: copy the folder again")
        kept[key] = value
    return kept


def _make(
    name: str, arguments: dict[str, Any], eps: float | None, norm_tokens: bool, drop_path_rate: float = 0.0
) -> Any:  # timm's networks have no type in common that knows their parts
    from timm.models import model_entrypoint

    module = _module_of(name)
    if module not in MODULES:
        raise InputError(f"the architecture {name!r} is not run here: {why_unknown(name)}")
    # Not left to the class: Swin's own default is 0.1.
    options = MODULES[module] | checked_arguments(name, arguments) | {"drop_path_rate": drop_path_rate}
    try:
        network = model_entrypoint(name)(pretrained=False, num_classes=0, **options)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"timm cannot make {name} with {arguments} ({error})") from error
    for head in HEADS if not norm_tokens else ():
        if getattr(network, head, None) is not None:
            setattr(network, head, None if head == "attn_pool" else nn.Identity())
    if eps is not None:
        for part in network.modules():
            if hasattr(part, "eps"):
                part.eps = eps
    return network


def _module_of(name: str) -> str | None:
    """The module of timm that has the architecture; None when none has."""
    from timm.models import is_model, model_entrypoint

    if not re.fullmatch(r"[a-z0-9_]{1,100}", name) or not is_model(name):
        return None
    return model_entrypoint(name).__module__.rpartition(".")[2]


@lru_cache(maxsize=1)
def _all_parameters() -> dict[str, frozenset[str]]:
    from timm.models import beit, convnext, eva, naflexvit, swin_transformer, vision_transformer
    from timm.models import vision_transformer_relpos as relpos

    classes: dict[str, Any] = {
        "vision_transformer": vision_transformer.VisionTransformer,
        "deit": vision_transformer.VisionTransformer,
        "eva": eva.Eva,
        "swin_transformer": swin_transformer.SwinTransformer,
        "convnext": convnext.ConvNeXt,
        "beit": beit.Beit,
        "vision_transformer_relpos": relpos.VisionTransformerRelPos,
    }
    found = {module: frozenset(inspect.signature(cls.__init__).parameters) for module, cls in classes.items()}
    found["naflexvit"] = frozenset(naflexvit.NaFlexVitCfg.__dataclass_fields__) | {"img_size"}
    return found


def _parameters(name: str) -> frozenset[str]:
    return _all_parameters().get(_module_of(name) or "", frozenset()) - CALLABLES


def _is_plain(value: Any, depth: int = 0) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 256 and depth < 3 and all(_is_plain(item, depth + 1) for item in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return abs(value) <= LARGEST
    return value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= 40)


def _is_pyramid(network: Any) -> bool:
    return len({_one(level["reduction"]) for level in network.feature_info}) > 1


def _one(side: Any) -> int:
    return int(side[0] if isinstance(side, (list, tuple)) else side)
