"""The operators of mmcv that detectors call, from torchvision's kernels: no compiler, CPU and CUDA.

``mmcv.ops`` asks its compiled module ``mmcv._ext`` for more than a hundred operators when it is imported. mmcv has no
wheel for today's torch: pip builds it without them. The detectors here call three, ``nms``, ``roi_align_forward`` and
``roi_align_backward``, and torchvision has these. :func:`provide` puts a module made of them where mmcv looks;
importing anything of :mod:`benchmarks.engines` does so. mmcv's own operators are used where they are there and load.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import torch
from torch import Tensor

from benchmarks.errors import InputError

NAME = "mmcv._ext"


def provide() -> None:
    """See that ``mmcv.ops`` can be imported: mmcv's compiled operators if they load here, else torchvision's.

    Does nothing where mmcv is not installed or has its operators already.
    """
    if NAME in sys.modules or not _places():
        return
    reason = ""
    try:
        module = compiled()
    except ImportError as error:  # built for another torch
        module, reason = None, f"mmcv's compiled operators do not load: {str(error).splitlines()[0]}"
    if module and torch.cuda.is_available() and module.get_compiling_cuda_version() == "not available":
        module, reason = None, "mmcv's compiled operators are without CUDA"
    sys.modules[NAME] = module or TorchvisionOperators(reason)


def compiled() -> ModuleType | None:
    """mmcv's own compiled operators, or None where mmcv is not compiled; ImportError where they do not load."""
    spec = PathFinder.find_spec(NAME, _places())
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _places() -> list[str]:
    """The folders of the installed mmcv, which need not be imported; empty without one."""
    try:
        spec = importlib.util.find_spec("mmcv")
    except ValueError:  # something without a place stands in sys.modules as mmcv
        return []
    return list(spec.submodule_search_locations or []) if spec else []


def operators() -> str | None:
    """Whose operators mmcv uses here: ``torchvision 0.29.1`` or ``mmcv 2.3.6 (compiled)``; None without mmcv."""
    provide()
    module = sys.modules.get(NAME)
    if module is None:
        return None
    if not isinstance(module, TorchvisionOperators):
        return f"mmcv {_version('onedl-mmcv', 'mmcv')} (compiled)"
    return f"torchvision {_version('torchvision')}" + (f" ({module.reason})" if module.reason else "")


def _version(*distributions: str) -> str:
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "of unknown version"


class TorchvisionOperators(ModuleType):
    """``mmcv._ext`` with torchvision's kernels; any other operator of mmcv raises :class:`InputError` when called.

    ``reason`` says why mmcv's own compiled operators, which are there, are not used.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(NAME, self.__doc__)
        self.__spec__ = ModuleSpec(NAME, loader=None, origin=__name__)
        self.reason = reason
        self.nms, self.roi_align_forward, self.roi_align_backward = nms, roi_align_forward, roi_align_backward

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_arguments, **_named) -> None:
            raise _refusal(name)

        return refuse

    def get_compiling_cuda_version(self) -> str:
        return torch.version.cuda or "not available"

    def get_compiler_version(self) -> str:
        return f"none: torchvision {_version('torchvision')}"


def _refusal(what: str) -> InputError:
    return InputError(
        f"mmcv's operator {what} is not here: without a compiled mmcv there are nms and RoIAlign (average), from "
        "torchvision; take these, or compile mmcv as docs/setup.md says"
    )


def _kernels():
    import torchvision  # noqa: F401 (registers them)

    return torch.ops.torchvision


def _computed_in(*tensors: Tensor) -> torch.dtype:
    """float64 where any of ``tensors`` is, else float32: half types are too coarse for corners of boxes."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices int64 ``[K]`` of the boxes that stay, best score first; equal scores keep the order of the input.

    ``boxes`` ``[N, 4]`` (x1, y1, x2, y2), ``scores`` ``[N]``. A box goes if its IoU with a better one that stays is
    above ``iou_threshold``, compared in float32 as in mmcv.
    """
    if offset != 0:
        raise _refusal("nms with offset=1")
    kind = _computed_in(boxes, scores)
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return _kernels().nms(boxes.to(kind), scores.to(kind), threshold)


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` ``[R, C, height, width]`` with what ``rois`` see of ``features`` ``[B, C, H, W]``.

    ``rois`` ``[R, 5]`` are (image, x1, y1, x2, y2) in pixels, ``spatial_scale`` the map's cells a pixel. Both may have
    any memory layout. ``argmax_y`` and ``argmax_x`` are for maxima (``pool_mode`` 0), which torchvision has not.
    """
    if pool_mode != 1:
        raise _refusal("roi_align with pool_mode='max'")
    kind = _computed_in(features, rois)
    output.copy_(
        _kernels().roi_align(
            features.to(kind), rois.to(kind), spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` ``[B, C, H, W]`` with the gradient of the map; the rest as in :func:`roi_align_forward`."""
    if pool_mode != 1:
        raise _refusal("roi_align with pool_mode='max'")
    kind = _computed_in(grad_output, rois)
    grad_input.copy_(
        _kernels()._roi_align_backward(
            grad_output.to(kind),
            rois.to(kind),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )
