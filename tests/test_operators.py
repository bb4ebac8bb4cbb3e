"""mmcv's operators from torchvision's kernels, against plain formulas and, where there is one, a compiled mmcv."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.engines import mmcv_ops
from benchmarks.engines.mmcv_ops import NAME, TorchvisionOperators, operators
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("mmcv", reason="needs OpenMMLab's packages: pip install -e '.[detection]'")


def plain_roi_align(features, rois, height, width, scale, samples, aligned):
    """RoIAlign as Mask R-CNN defines it, one bin after the other: the mean of bilinear samples."""
    found = []
    for image, *corners in rois.tolist():
        left, top, right, bottom = (corner * scale - 0.5 * aligned for corner in corners)
        wide, high = (right - left, bottom - top) if aligned else (max(right - left, 1.0), max(bottom - top, 1.0))
        across, down = (samples or int(-(-wide // width)), samples or int(-(-high // height)))
        bins = features.new_zeros(features.shape[1], height, width)
        for row in range(height):
            for column in range(width):
                for i in range(down):
                    for j in range(across):
                        y = top + high / height * (row + (i + 0.5) / down)
                        x = left + wide / width * (column + (j + 0.5) / across)
                        bins[:, row, column] += bilinear(features[int(image)], y, x)
        found.append(bins / max(across * down, 1))
    return torch.stack(found) if found else features.new_zeros(0, features.shape[1], height, width)


def bilinear(plane, y, x):
    """The value of ``plane`` ``[C, H, W]`` at a point; 0 beyond a cell outside, the border's within."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros_like(plane[:, 0, 0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = plane[:, top, left] * (1 - across) + plane[:, top, right] * across
    lower = plane[:, below, left] * (1 - across) + plane[:, below, right] * across
    return upper * (1 - down) + lower * down


def plain_nms(boxes, scores, threshold):
    """Greedy suppression; equal scores in the order of the input."""
    order, kept = sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for i in order:
        for j in kept:
            sides = torch.minimum(boxes[i, 2:], boxes[j, 2:]) - torch.maximum(boxes[i, :2], boxes[j, :2])
            common = sides.clamp(min=0).prod()
            if common / (areas[i] + areas[j] - common) > threshold:
                break
        else:
            kept.append(i)
    return kept


def some_maps(seed, layout=torch.contiguous_format, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, 5, 13, 17, generator=rng, dtype=torch.float64).to(dtype).contiguous(memory_format=layout)


def some_boxes(seed, count, side=64.0):
    """Some reach over the border, one has no area."""
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng, dtype=torch.float64) * side - 4
    size = torch.rand(count, 2, generator=rng, dtype=torch.float64) * side / 2
    size[:1] = 0
    return torch.cat([corner, corner + size], 1)


def some_rois(seed, count=6):
    return torch.cat([torch.arange(count).remainder(2).double()[:, None], some_boxes(seed, count)], 1)


@pytest.fixture
def ops():
    """mmcv's operators, which are torchvision's."""
    found = importlib.import_module("mmcv.ops")
    if not isinstance(sys.modules[NAME], TorchvisionOperators):
        pytest.skip("mmcv is compiled here, and its own operators are used")
    return found


LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("size", "scale", "samples"), [((7, 7), 0.25, 0), ((3, 5), 0.25, 2), ((2, 2), 0.125, 3)])
def test_roi_align_is_the_mean_of_bilinear_samples_and_so_is_its_gradient(ops, size, scale, samples, aligned, layout):
    maps, rois = some_maps(0, layout).requires_grad_(), some_rois(1)
    found = ops.roi_align(maps, rois, size, scale, samples, "avg", aligned)
    expected = plain_roi_align(maps, rois, *size, scale, samples, aligned)
    torch.testing.assert_close(found, expected)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = [torch.autograd.grad((result * weights).sum(), maps)[0] for result in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_roi_align_of_short_types_is_the_exact_one_rounded(ops, dtype, layout):
    maps, rois = some_maps(0, layout, dtype), some_rois(1).to(dtype)
    found = ops.RoIAlign((7, 7), 0.25, 2)(maps, rois)
    assert found.dtype == dtype
    exact = ops.RoIAlign((7, 7), 0.25, 2)(maps.double(), rois.double())
    torch.testing.assert_close(found, exact.to(dtype))


def test_exact_boxes_on_short_maps_are_computed_in_the_boxes_type(ops):
    short, rois = some_maps(0, dtype=torch.float32).requires_grad_(), some_rois(1)
    exact = short.detach().double().requires_grad_()
    found, expected = (ops.RoIAlign((7, 7), 0.25, 2)(maps, rois) for maps in (short, exact))
    assert torch.equal(found, expected.float())
    gradients = [torch.autograd.grad(result.sum(), maps)[0] for result, maps in ((found, short), (expected, exact))]
    assert torch.equal(gradients[0], gradients[1].float())


def test_no_boxes_give_no_features_and_no_gradient(ops):
    maps = some_maps(0).requires_grad_()
    found = ops.roi_align(maps, torch.zeros(0, 5, dtype=torch.float64), (7, 7), 0.25, 0, "avg", True)
    assert found.shape == (0, 5, 7, 7)
    found.sum().backward()
    assert maps.grad.abs().sum() == 0
    kept, indices = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0, 5)
    assert indices.shape == (0,)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nms_is_greedy_suppression(ops, threshold, dtype):
    boxes = some_boxes(3, 80).to(dtype)
    scores = torch.rand(80, generator=torch.Generator().manual_seed(4)).to(dtype)
    kept, indices = ops.nms(boxes, scores, threshold)
    assert indices.tolist() == plain_nms(boxes, scores, threshold)
    assert torch.equal(kept, torch.cat([boxes, scores[:, None]], 1)[indices])


def test_equal_scores_keep_the_order_of_the_input(ops):
    boxes = some_boxes(5, 200)
    scores = torch.randint(3, (200,), generator=torch.Generator().manual_seed(6)).double()
    assert ops.nms(boxes, scores, 0.4)[1].tolist() == plain_nms(boxes, scores, 0.4)


def test_nms_takes_boxes_and_scores_of_different_types_as_they_are(ops):
    """In bfloat16 the scores of a class are few; in the boxes' own type half of them would be equal."""
    boxes = some_boxes(3, 60).float()
    scores = 0.5 + torch.rand(60, generator=torch.Generator().manual_seed(4)) / 1000
    expected = plain_nms(boxes.bfloat16().float(), scores, 0.4)
    assert mmcv_ops.nms(boxes.bfloat16(), scores, 0.4).tolist() == expected
    assert mmcv_ops.nms(boxes, scores.bfloat16(), 0.4).tolist() == plain_nms(boxes, scores.bfloat16(), 0.4)


def test_the_threshold_is_a_float32_as_in_mmcv(ops):
    """An IoU of 0.1 in float32 is above 0.1 in float64: compared with that, the second box would go."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 1]])
    assert float(torch.tensor(0.1)) > 0.1
    assert ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.1)[1].tolist() == [0, 1]


def refused():
    boxes, maps = some_boxes(0, 4).float(), some_maps(0)
    yield "softnms", lambda ops: ops.soft_nms(boxes, torch.rand(4))
    yield "nms with offset=1", lambda ops: ops.nms(boxes, torch.rand(4), 0.5, offset=1)
    yield "roi_align with pool_mode='max'", lambda ops: ops.RoIAlign(2, pool_mode="max")(maps, some_rois(1))
    yield "deform_conv_forward", lambda ops: ops.DeformConv2dPack(5, 5, 3)(maps.float())


@pytest.mark.parametrize(("name", "call"), list(refused()), ids=lambda value: value if isinstance(value, str) else "")
def test_what_torchvision_has_not_is_refused_by_name_in_one_line(ops, name, call):
    with pytest.raises(InputError, match=name.replace("(", r"\(")) as error:
        call(ops)
    assert "\n" not in str(error.value)
    assert "docs/setup.md" in str(error.value)


def test_a_config_alone_brings_the_operators():
    """As mim starts it: the library first, then the config, whose custom imports name our modules."""
    code = (
        "import mmdet.utils\n"
        "from mmengine.config import Config\n"
        "Config.fromfile('third_party_configs/mmdet/mask_rcnn_vit_fpn_mini.py')\n"
        "import mmcv.ops, sys\n"
        "print(type(sys.modules['mmcv._ext']).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == type(sys.modules[NAME]).__name__


@pytest.fixture
def fake_mmcv(tmp_path, monkeypatch):
    """A package mmcv whose ``_ext`` is the given code, found in place of the installed one."""

    def install(code: str | None) -> None:
        folder = tmp_path / "mmcv"
        folder.mkdir()
        (folder / "__init__.py").touch()
        if code is not None:
            (folder / "_ext.py").write_text(code)
        monkeypatch.delitem(sys.modules, NAME, raising=False)
        monkeypatch.delitem(sys.modules, "mmcv", raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop(NAME, None)


def test_mmcvs_own_operators_are_used_where_they_are(fake_mmcv):
    fake_mmcv("mine = 1\ndef get_compiling_cuda_version(): return 'not available'")
    assert operators().startswith("mmcv ")
    assert operators().endswith(" (compiled)")
    assert sys.modules[NAME].mine == 1


def test_operators_that_do_not_load_are_replaced_and_it_is_said(fake_mmcv):
    fake_mmcv("raise ImportError('undefined symbol: _ZN3c10\\nand more')")
    assert operators().startswith("torchvision ")
    assert operators().endswith("(mmcv's compiled operators do not load: undefined symbol: _ZN3c10)")


def test_operators_without_cuda_are_replaced_beside_a_gpu_and_it_is_said(fake_mmcv, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    fake_mmcv("def get_compiling_cuda_version(): return 'not available'")
    assert operators().endswith("(mmcv's compiled operators are without CUDA)")


def test_without_mmcv_there_are_no_operators(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert operators() is None
    assert NAME not in sys.modules


COMPILED = mmcv_ops.compiled()
needs_compiled = pytest.mark.skipif(COMPILED is None, reason="mmcv is not compiled here; compiling it takes long")


@needs_compiled
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_equals_the_compiled_one_bit_by_bit(seed, samples, aligned):
    maps, rois = some_maps(seed, dtype=torch.float32), some_rois(seed, 30).float()
    settings = {"aligned_height": 7, "aligned_width": 7, "spatial_scale": 0.25, "sampling_ratio": samples}
    settings |= {"pool_mode": 1, "aligned": aligned}
    found, gradients = [], []
    for module in (COMPILED, mmcv_ops):
        nothing, out, back = maps.new_zeros(0), maps.new_zeros(30, 5, 7, 7), torch.zeros_like(maps)
        module.roi_align_forward(maps, rois, out, nothing, nothing, **settings)
        module.roi_align_backward(out.cos(), rois, nothing, nothing, back, **settings)
        found.append(out)
        gradients.append(back)
    assert torch.equal(*found)
    assert torch.equal(*gradients)


@needs_compiled
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_nms_equals_the_compiled_one_where_scores_differ(threshold):
    boxes, scores = some_boxes(7, 2000, 400.0).float(), torch.rand(2000, generator=torch.Generator().manual_seed(8))
    assert len(scores.unique()) == len(scores)
    assert torch.equal(COMPILED.nms(boxes, scores, threshold, 0), mmcv_ops.nms(boxes, scores, threshold))
