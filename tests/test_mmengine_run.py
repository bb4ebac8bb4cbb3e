"""Runs of mmengine: what its config is told, what comes back, with a runner that trains nothing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocotools import mask as rle

from benchmarks.controls import write_random_control
from benchmarks.errors import InputError

pytest.importorskip("mmengine", reason="needs mmengine")

from benchmarks.engines import mmdet, mmengine_run

CONFIG = """
custom_hooks = [dict(type="LossLog"), dict(type="TestBar"), dict(type="ReplayedSteps"), dict(type="AtomicSnapshot")]
model = dict(backbone=dict(type="CanonicalViT"), data_preprocessor=dict(type="DetDataPreprocessor"))
train_dataloader = dict(dataset=dict(type="ReplayedCoco"))
env_cfg = dict(dist_cfg=dict(backend="nccl"))
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What a run tells mmengine: a function of :func:`train`'s options, with the folder's snapshot or without."""
    from mmengine.runner import Runner

    write_random_control(tmp_path / "x.safetensors", 0)
    (tmp_path / "config.py").write_text(CONFIG)
    trained = []

    def from_cfg(config):
        return SimpleNamespace(cfg=config, model=torch.nn.Linear(1, 1), train=lambda: trained.append(True))

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)

    def train(changes=None, seed=0, **options):
        runner = mmengine_run.train(
            tmp_path / "config.py", tmp_path / "x.safetensors", tmp_path / "out", changes or {}, seed, **options
        )
        assert trained.pop()
        return runner.cfg

    (tmp_path / "out").mkdir()
    return train


def test_a_run_is_told_its_checkpoint_seed_and_pixels(tmp_path, told):
    config = told({"model.neck.in_channels": [1], "work_dir": "elsewhere"}, seed=7, progress=False)
    assert config.model.backbone.checkpoint == str(tmp_path / "x.safetensors")
    assert config.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert config.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert (config.model.neck.in_channels, config.work_dir) == ([1], "elsewhere")  # the changes come last
    assert config.randomness == {"seed": 7, "deterministic": True}
    assert config.train_dataloader.dataset.seed == 7
    log, bar, steps, snapshot = config.custom_hooks
    assert (log.progress, bar.progress, steps.seed, dict(snapshot)) == (False, False, 7, {"type": "AtomicSnapshot"})
    assert (config.launcher, config.resume, config.load_from) == ("none", False, None)
    assert config.env_cfg.dist_cfg == {"backend": "nccl", "timeout": 7200.0}
    assert "model_wrapper_cfg" not in config
    assert config.filename == str(tmp_path / "config.py")
    assert CONFIG.strip() in config.text
    assert told()["custom_hooks"][0]["progress"]


def test_the_text_of_a_config_is_not_laid_out_anew(told, monkeypatch):
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda *_, **__: pytest.fail("five seconds of a run"))
    assert "CanonicalViT" in told().pretty_text


def test_a_run_goes_on_from_its_snapshot_unless_told_not_to(tmp_path, told):
    (tmp_path / "out/last.pth").touch()
    assert (told().resume, told().load_from) == (True, str(tmp_path / "out/last.pth"))
    assert (told(resume=False).resume, told(resume=False).load_from) == (False, None)


def test_data_without_replay_is_not_told_a_seed(tmp_path, told):
    (tmp_path / "config.py").write_text(CONFIG.replace("ReplayedCoco", "CocoDataset"))
    assert "seed" not in told().train_dataloader.dataset


def test_processes_without_gpus_are_gloos(told, monkeypatch):
    begun = []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: begun.append((a, k["timeout"])))
    config = told(launcher="torchrun")
    wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None}
    assert (config.launcher, config.model_wrapper_cfg) == ("pytorch", wrapper)
    assert [(*backend, timeout.total_seconds()) for backend, timeout in begun] == [("gloo", 7200.0)]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    told(launcher="torchrun")
    assert len(begun) == 1
    monkeypatch.setattr(mmengine_run, "refuse_sync_norms", lambda model: begun.append("asked"))
    told(launcher="slurm")
    told()
    assert begun[1:] == ["asked"]


def test_an_error_of_a_loaders_process_is_its_last_line(tmp_path, told, monkeypatch):
    from mmengine.runner import Runner

    def broken():
        raise InputError("Caught InputError in worker 0.\nTraceback ...\nbenchmarks.errors.InputError: a.png is torn")

    def from_cfg(config):
        return SimpleNamespace(train=broken, model=None)

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    with pytest.raises(InputError, match=r"^a\.png is torn$"):
        told()
    with pytest.raises(InputError, match=r"^a\.png is torn$"):
        mmengine_run.test(SimpleNamespace(test=broken))
    assert mmengine_run.test(SimpleNamespace(test=lambda: {"mIoU": 1.0})) == {"mIoU": 1.0}


def test_a_config_is_read_anew_when_it_or_its_base_changes_and_each_reader_has_a_copy(tmp_path):
    (tmp_path / "base.py").write_text("a = 1\nb = dict(c=1)\n")
    (tmp_path / "own.py").write_text('_base_ = "./base.py"\nb = dict(d=2)\n')
    found = mmengine_run.read_config(tmp_path / "own.py")
    assert (found["a"], found["b"]) == (1, {"c": 1, "d": 2})
    found["b"]["c"] = 9
    assert mmengine_run.read_config(tmp_path / "own.py")["b"]["c"] == 1
    (tmp_path / "base.py").write_text("a = 22\nb = dict(c=1)\n")
    assert mmengine_run.read_config(tmp_path / "own.py")["a"] == 22
    with pytest.raises(InputError, match=r"config .*none\.py"):
        mmengine_run.read_config(tmp_path / "none.py")


def test_a_plan_imports_nothing_that_is_for_a_run(tmp_path):
    (tmp_path / "own.py").write_text('custom_imports = dict(imports=["no_such_module"], allow_failed_imports=False)\n')
    assert mmengine_run.read_config(tmp_path / "own.py")["custom_imports"]["imports"] == ["no_such_module"]
    with pytest.raises(ImportError):
        mmengine_run.run_config(tmp_path / "own.py")


def test_the_innermost_error_is_the_line():
    assert mmengine_run.own_line(InputError("InputError: a\nbenchmarks.errors.InputError: b")) == "b"
    assert mmengine_run.own_line(InputError(" c ")) == "c"


def test_what_is_not_installed_is_named():
    mmengine_run.require_installed("torch", "numpy")
    with pytest.raises(
        InputError, match=r"^no_such_one and nor_this cannot be found: pip install -r requirements.txt$"
    ):
        mmengine_run.require_installed("no_such_one", "torch", "nor_this")


class Instances(SimpleNamespace):
    """mmengine's InstanceData as far as it is asked."""

    def cpu(self):
        return self

    def numpy(self):
        return self

    def __len__(self):
        return len(self.scores)

    def __contains__(self, name):
        return hasattr(self, name)


def detecting(samples, masks):
    """A runner whose model finds, in each image, ``samples`` boxes (corners, score, label)."""
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True

    def one(image):
        found = samples[image]
        own = Instances(
            bboxes=np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
            scores=np.array([score for _, score, _ in found], np.float32),
            labels=np.array([label for _, _, label in found], int),
        )
        if masks:
            own.masks = np.array([mask] * len(found))
        return SimpleNamespace(img_id=image, pred_instances=own)

    class Loader(list):
        dataset = type("Data", (), {"cat_ids": [3, 17], "__len__": lambda self: len(samples)})()

    model = SimpleNamespace(test_step=lambda batch: [one(image) for image in batch])
    model.eval = lambda: model
    return SimpleNamespace(model=model, build_dataloader=lambda config: Loader(config["batches"])), mask


@pytest.mark.parametrize("progress", [True, False])
def test_detections_have_a_bar_where_it_is_asked_for(capsys, progress):
    runner, _ = detecting({1: []}, False)
    assert mmdet.detect(runner, {"batches": [[1]]}, **({} if progress else {"progress": False})) == []
    assert ("detections" in capsys.readouterr().err) == progress


def test_the_other_processes_get_no_detections(monkeypatch):
    runner, _ = detecting({1: [((0, 0, 1, 1), 0.25, 0)]}, False)
    monkeypatch.setattr("mmengine.dist.collect_results", lambda found, size: None)
    assert mmdet.detect(runner, {"batches": [[1]]}, progress=False) == []


@pytest.mark.parametrize("masks", [True, False])
def test_detections_in_cocos_format_image_by_image(masks):
    samples = {5: [((1, 2, 4, 8), 0.5, 1), ((0, 0, 1, 1), 0.25, 0)], 2: [], 9: [((2, 2, 3, 3), 1.0, 0)]}
    runner, mask = detecting(samples, masks)
    found = mmdet.detect(runner, {"batches": [[5, 2], [9]]}, progress=False)
    plain = [{key: value for key, value in one.items() if key != "segmentation"} for one in found]
    assert plain == [
        {"image_id": 5, "category_id": 17, "bbox": [1, 2, 3, 6], "score": 0.5},
        {"image_id": 5, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 0.25},
        {"image_id": 9, "category_id": 3, "bbox": [2, 2, 1, 1], "score": 1.0},
    ]
    json.dumps(found)
    assert [np.array_equal(rle.decode(one["segmentation"]), mask) for one in found if masks] == [True] * 3 * masks


def test_a_torn_image_in_a_loaders_process_is_one_line():
    runner, _ = detecting({1: []}, False)

    def loader():
        raise InputError("Caught InputError ...\nbenchmarks.errors.InputError: a.png is torn")
        yield

    class Loader:
        dataset = SimpleNamespace(cat_ids=[1])
        __iter__ = staticmethod(loader)

    runner.build_dataloader = lambda config: Loader()
    with pytest.raises(InputError, match=r"^a\.png is torn$"):
        mmdet.detect(runner, {}, progress=False)
