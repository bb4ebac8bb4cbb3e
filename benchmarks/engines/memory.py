"""The peak memory of training, found by doing one pass of the real network on tensors without content.

Counted, storage by storage, as operators make them and let them go: weights, AdamW's two moments, gradients, every
activation with the temporaries beside it, forward and backward, and the regions that the samplers may draw at most.
With several devices the buckets of gradients that DDP sends; in the optimiser's step the one copy that torch's grouped
AdamW makes on a GPU. Not counted: CUDA's context (about 0.5 GiB), what cuDNN and cuBLAS take for themselves, gaps
between the allocator's blocks, and data on its way to the device.
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

#: Objects in a training picture, where their number matters: the matching of anchors holds tables of all pairs.
OBJECTS = 100
GIB = 2**30

PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
#: What CUDA's autocast computes in half the width, and in fp32, of what networks here call.
ATTENTION = (F, "scaled_dot_product_attention")
NARROW = ((F, "linear"), (F, "conv2d"), (F, "conv_transpose2d"), (torch, "matmul"), (torch, "einsum"), ATTENTION)
WIDE = ((F, "layer_norm"), (F, "group_norm"), (F, "softmax"))


@dataclass(frozen=True)
class Peak:
    """Bytes on one device: of weights and moments all the time, and of everything at the worst moment."""

    weights: int
    moments: int
    total: int
    what: str

    def line(self) -> str:
        """For people."""
        parts = f"weights {self.weights / GIB:.1f}, AdamW's moments {self.moments / GIB:.1f}"
        return f"memory: about {self.total / GIB:.1f} GiB a device, predicted for {self.what} (of it {parts})"


@dataclass(frozen=True)
class Pass:
    """What a device takes at a time: ``images`` of ``size`` (height, width), in one precision.

    ``accumulated``: whether gradients of several passes are added up; ``devices``: how many share a batch.
    """

    images: int
    size: tuple[int, int]
    precision: str = "fp32"
    accumulated: bool = False
    devices: int = 1
    objects: int = OBJECTS

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.images} x {self.size[0]} x {self.size[1]} pixels in {self.precision}"


def largest(config: Mapping[str, Any], images: int) -> tuple[int, int]:
    """Height and width of the largest batch of ``images`` that a detector's training pipeline can make.

    Pictures that stand and lie in one batch are padded to both of their longer sides.
    """
    scales = list(_scales(config["train_dataloader"]["dataset"]["pipeline"]))
    step = config["model"]["data_preprocessor"]["pad_size_divisor"]
    short, long = (-(-side // step) * step for side in (max(map(min, scales)), max(map(max, scales))))
    return (short, long) if images == 1 else (long, long)


def _scales(pipeline: Any) -> Iterator[tuple[int, int]]:
    """Every size that a transform of a pipeline resizes to."""
    if isinstance(pipeline, Mapping):
        for name, value in pipeline.items():
            found = [value] if name == "scale" else value if name == "scales" else ()
            yield from map(tuple, found)
            yield from _scales(value)
    elif isinstance(pipeline, list | tuple):
        for one in pipeline:
            yield from _scales(one)


class Alive(TorchDispatchMode):
    """Counts the bytes of storages that are alive, ``now`` and at the ``peak``; ``held`` are there before."""

    def __init__(self, held: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}
        for tensor in held:
            self._see(tensor.untyped_storage())

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor):
                self._see(one.untyped_storage())
        return found

    def _see(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known:
            size = storage.nbytes()
            self._known[key] = weakref.ref(storage, lambda _: self._gone(key, size))
            self.now += size
            self.peak = max(self.peak, self.now)

    def _gone(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size


class OnGpu:
    """What a GPU does and tensors without a device do not: attention in one piece, and autocast to ``kind``.

    It takes the place of torch's functions while it is entered: a mode of torch's would not reach into backward passes.
    """

    _cast: dict[torch.Tensor, torch.Tensor]

    def __init__(self, kind: torch.dtype | None) -> None:
        self.kind, self._cast, self._keep = kind, {}, True
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> OnGpu:
        names = dict.fromkeys((*NARROW, *WIDE)) if self.kind is not None else {}
        for owner, name in {**names, ATTENTION: None}:
            self._stack.enter_context(mock.patch.object(owner, name, self._own(owner, name)))
        # A run on a CPU sets it for its process; resizing, for one, takes twice the memory then.
        self._stack.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
        torch.use_deterministic_algorithms(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def forget(self) -> None:
        """The end of the forward pass: autocast keeps no more copies of weights."""
        self._cast, self._keep = {}, False

    def _own(self, owner: Any, name: str) -> Callable[..., Any]:
        plain = _attention if (owner, name) == ATTENTION else getattr(owner, name)

        def function(*args: Any, **options: Any) -> Any:
            if self.kind is None:
                return plain(*args, **options)
            change = self._narrowed if (owner, name) in NARROW else _widened
            args, options = tree_map(change, (args, options))
            return plain(*args, **options)

        return function

    def _narrowed(self, one: Any) -> Any:
        if not isinstance(one, torch.Tensor) or one.dtype != torch.float32:
            return one
        if not (self._keep and one.requires_grad and one.is_leaf):
            return one.to(self.kind)
        if one not in self._cast:
            self._cast[one] = one.to(self.kind)
        return self._cast[one]


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return fused(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


def _widened(one: Any) -> Any:
    return one.float() if isinstance(one, torch.Tensor) and one.dtype in PRECISIONS.values() else one


def detector_peak(config: Mapping[str, Any], changes: Mapping[str, Any], told: Pass) -> Peak:
    """:class:`Peak` of mmdet's two-stage detector of a config, as it is read, with ``changes`` (dotted keys)."""

    def step(model: Any, images: torch.Tensor) -> torch.Tensor:
        from mmdet.structures.bbox import bbox_overlaps

        maps = model.extract_feat(images)
        found = model.rpn_head(maps)
        anchors = sum(one[0].numel() for one in found[0])
        bbox_overlaps(images.new_empty(told.objects, 4), images.new_empty(anchors, 4))
        terms = [_loss(one.permute(0, 2, 3, 1)) for level in found for one in level]
        # All that the sampler may draw: objects are a part of the regions at most, and only these have masks.
        sampler, head = model.train_cfg.rcnn.sampler, model.roi_head
        regions = told.images * sampler.num
        found = head.bbox_head(_regions(head.bbox_roi_extractor, maps, regions))
        terms += map(_loss, found)
        if head.with_mask:
            drawn = _regions(head.mask_roi_extractor, maps, int(regions * sampler.pos_fraction))
            terms.append(_loss(head.mask_head(drawn)))
        return torch.stack(terms).sum()

    return _peak("mmdet", config, changes, told, step)


def segmenter_peak(config: Mapping[str, Any], changes: Mapping[str, Any], told: Pass) -> Peak:
    """:class:`Peak` of mmseg's segmenter of a config, as it is read, with ``changes`` (dotted keys)."""

    def step(model: Any, images: torch.Tensor) -> torch.Tensor:
        logits = model.decode_head(model.extract_feat(images))
        logits = F.interpolate(logits, size=told.size, mode="bilinear", align_corners=False)
        loss = F.cross_entropy(logits, images.new_empty(told.images, *told.size, dtype=torch.long), reduction="none")
        logits.topk(1, dim=1)  # the accuracy that is logged
        return loss.mean()

    return _peak("mmseg", config, changes, told, step)


def _peak(
    scope: str,
    config: Mapping[str, Any],
    changes: Mapping[str, Any],
    told: Pass,
    step: Callable[[Any, torch.Tensor], torch.Tensor],
) -> Peak:
    import importlib

    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope
    from mmengine.utils import import_modules_from_strings

    import_modules_from_strings(**config.get("custom_imports", {"imports": None}))
    whole = Config(copy.deepcopy(dict(config)))
    whole.merge_from_dict(dict(changes))
    models = importlib.import_module(f"{scope}.registry").MODELS
    with DefaultScope.overwrite_default_scope(scope), torch.device("meta"):
        # Synchronised norms refuse all but GPUs and keep what plain ones keep.
        model = revert_sync_batchnorm(models.build(whole.model)).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        images = torch.empty(told.images, 3, *told.size)
        if told.accumulated:
            for parameter in trained:
                parameter.grad = torch.empty_like(parameter)
        weights = [*model.parameters(), *model.buffers()]
        held = [*weights, images, *(p.grad for p in trained if p.grad is not None)]
        with OnGpu(PRECISIONS[told.precision]) as gpu, Alive(held) as alive:
            loss = step(model, images)
            gpu.forget()
            loss.backward()
    own, moving = _bytes(weights), _bytes(trained)
    moments, buckets = 2 * moving, moving if told.devices > 1 else 0
    # The step: weights, gradients, and a copy of one moment.
    return Peak(own, moments, max(alive.peak, own + 2 * moving) + moments + buckets, told.what)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def _loss(found: torch.Tensor) -> torch.Tensor:
    """A loss that keeps what a detector's keep: predictions and targets, in fp32."""
    flat = found.flatten().float()
    return F.smooth_l1_loss(flat, torch.empty_like(flat))


def _regions(extractor: Any, maps: Iterable[torch.Tensor], number: int) -> torch.Tensor:
    """What an extractor gives for ``number`` regions, as many of each level."""
    levels = extractor.num_inputs
    used = [one.float().contiguous() for one, _ in zip(maps, range(levels), strict=False)]
    shares = [number // levels + (level < number % levels) for level in range(levels)]
    found = zip(extractor.roi_layers, used, shares, strict=True)
    return torch.cat([layer(one, one.new_empty(share, 5)) for layer, one, share in found])
