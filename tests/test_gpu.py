"""What wants a GPU: ``make test-gpu``. Everything else is tested without one."""

from __future__ import annotations

import pytest
import torch
from in_process import run_tool

from benchmarks.devices import explain, usable_device
from benchmarks.engines import mmcv_ops

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def test_auto_is_the_gpu_and_is_named():
    assert usable_device().type == "cuda"
    assert explain().startswith("cuda:0 ")
    assert torch.cuda.get_device_name() in explain()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_roi_align_is_the_cpus(dtype, layout):
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 8, 40, 60, generator=rng).to(dtype).contiguous(memory_format=layout)
    corners = torch.rand(50, 2, generator=rng) * 200
    sizes = 8 + torch.rand(50, 2, generator=rng) * 60
    rois = torch.cat([torch.arange(50).remainder(2)[:, None], corners, corners + sizes], 1).to(dtype)
    settings = {"aligned_height": 7, "aligned_width": 7, "spatial_scale": 0.25, "sampling_ratio": 0}
    settings |= {"pool_mode": 1, "aligned": True}
    found = []
    for device in ("cpu", "cuda"):
        there, nothing = maps.to(device), torch.zeros(0, device=device)
        out, back = torch.zeros(50, 8, 7, 7, dtype=dtype, device=device), torch.zeros_like(there)
        mmcv_ops.roi_align_forward(there, rois.to(device), out, nothing, nothing, **settings)
        mmcv_ops.roi_align_backward(out, rois.to(device), nothing, nothing, back, **settings)
        found.append((out.cpu(), back.cpu()))
    torch.testing.assert_close(found[1], found[0])


def test_nms_is_the_cpus_ties_included():
    rng = torch.Generator().manual_seed(1)
    corners = torch.rand(3000, 2, generator=rng) * 500
    boxes = torch.cat([corners, corners + 10 + torch.rand(3000, 2, generator=rng) * 60], 1)
    scores = torch.randint(100, (3000,), generator=rng) / 100
    assert torch.equal(mmcv_ops.nms(boxes.cuda(), scores.cuda(), 0.5).cpu(), mmcv_ops.nms(boxes, scores, 0.5))


def test_two_steps_of_everything_on_the_gpu(tmp_path):
    done = run_tool("ci_regression.py", "--tier", "instant", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
