"""Hooks of mmengine's runs, each with a runner that has nothing but what the hook asks for."""

import json
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.errors import InputError

pytest.importorskip("mmcv", reason="needs mmcv")
hooks = pytest.importorskip("benchmarks.engines.mmengine_hooks", reason="needs mmengine")


class Runner(SimpleNamespace):
    """A run of ``max_iters`` passes, ``passes`` an update, in ``work_dir``."""

    def save_checkpoint(self, folder, name, by_epoch):
        assert not by_epoch
        (folder / name).write_text(str(self.iter + 1))


def runner(folder, begun=0, end=12, passes=1):
    return Runner(
        work_dir=folder, iter=begun, max_iters=end, optim_wrapper=SimpleNamespace(_accumulative_counts=passes)
    )


def snapshots(made, hook):
    """After which passes a snapshot was written, up to the end."""
    found = []
    for iteration in range(made.iter, made.max_iters):
        made.iter = iteration
        hook.after_train_iter(made, iteration)
        if (path := made.work_dir / "last.pth").exists():
            found.append(int(path.read_text()))
            path.unlink()
        assert not list(made.work_dir.glob(".*"))
    return found


@pytest.mark.parametrize(
    ("interval", "passes", "written"),
    [(5, 1, [5, 10, 12]), (4, 1, [4, 8, 12]), (2, 3, [6, 12]), (100, 1, [12])],
)
def test_a_snapshot_every_so_many_updates_and_at_the_end(tmp_path, interval, passes, written):
    hook, made = hooks.AtomicSnapshot(interval), runner(tmp_path, passes=passes)
    hook.before_train(made)
    assert snapshots(made, hook) == written
    hook.after_train(made)


def test_without_accumulation_every_pass_is_an_update(tmp_path):
    hook, made = hooks.AtomicSnapshot(5), runner(tmp_path)
    del made.optim_wrapper._accumulative_counts
    hook.before_train(made)
    assert snapshots(made, hook) == [5, 10, 12]
    hook.after_train(made)


def test_sigterm_ends_the_run_after_the_update_with_a_snapshot(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    hook, made = hooks.AtomicSnapshot(100), runner(tmp_path, passes=3)
    hook.before_train(made)
    made.iter = 3
    os.kill(os.getpid(), signal.SIGTERM)
    hook.after_train_iter(made, 3)  # the fourth pass: in the middle of an update
    assert not (tmp_path / "last.pth").exists()
    made.iter = 5
    with pytest.raises(SystemExit) as ended:
        hook.after_train_iter(made, 5)
    assert (ended.value.code, (tmp_path / "last.pth").read_text()) == (143, "6")
    hook.after_train(made)
    assert signal.getsignal(signal.SIGTERM) is before


def test_processes_stop_together_when_one_is_asked_to(tmp_path, monkeypatch):
    groups, reduced = [], []
    monkeypatch.setattr(hooks, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **told: groups.append(told) or "group")

    def all_reduce(asked, operation, group):
        reduced.append((asked.tolist(), operation, group))
        asked.fill_(int(len(reduced) == 2))  # the other is asked before the second update

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    hook, made = hooks.AtomicSnapshot(100), runner(tmp_path)
    hook.before_train(made)
    assert groups == [{"backend": "gloo", "timeout": hooks.PATIENCE}]
    hook.after_train_iter(made, 0)
    made.iter = 1
    with pytest.raises(SystemExit):
        hook.after_train_iter(made, 1)
    assert reduced == [([0], torch.distributed.ReduceOp.MAX, "group")] * 2
    assert (tmp_path / "last.pth").read_text() == "2"
    monkeypatch.setattr(hooks, "is_main_process", lambda: False)  # which alone renames
    (tmp_path / "last.pth").unlink()
    hook.asked_to_stop, reduced[:] = True, [None]
    with pytest.raises(SystemExit):
        hook.after_train_iter(made, 1)
    assert reduced[1][0] == [1]
    assert [path.name for path in tmp_path.iterdir()] == [".next.pth"]
    hook.after_train(made)


def backbone(found):
    return SimpleNamespace(differences=lambda: found, checkpoint="x.safetensors")


def test_a_backbone_without_its_weights_ends_the_run(tmp_path):
    said = []
    made = Runner(iter=0, model=SimpleNamespace(backbone=backbone([])), logger=SimpleNamespace(info=said.append))
    hooks.VerifiedLoading().before_train(made)
    assert said == ["verified: the backbone holds every tensor of x.safetensors"]
    made.model.backbone = backbone(["a", "b", "c", "d"])
    line = r"does not hold x.safetensors after initialisation: a; b; c \(4 in all\)"
    with pytest.raises(InputError, match=line):
        hooks.VerifiedLoading().before_train(made)
    made.iter = 1  # it goes on from its own snapshot
    hooks.VerifiedLoading().before_train(made)
    assert len(said) == 1


def test_the_module_in_its_wrapper_is_compared(monkeypatch):
    monkeypatch.setattr(hooks, "is_model_wrapper", lambda model: True)
    made = Runner(iter=0, model=SimpleNamespace(module=SimpleNamespace(backbone=backbone(["a"]))))
    with pytest.raises(InputError, match=r"a \(1 in all\)"):
        hooks.VerifiedLoading().before_train(made)


def outputs(total):
    return {"loss_cls": torch.tensor([0.5]), "loss": torch.tensor(total, requires_grad=True)}


def lines(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_losses_are_logged_as_numbers_and_cut_where_the_run_goes_on(tmp_path):
    made, hook = runner(tmp_path), hooks.LossLog(progress=False)
    (tmp_path / "losses.jsonl").write_text("of another run\n")
    hook.before_train(made)
    assert lines(tmp_path) == []
    for made.iter in range(3):
        values = outputs(1.0 + made.iter)
        hook.after_train_iter(made, made.iter, outputs=values)
        assert values == {"loss_cls": 0.5, "loss": 1.0 + made.iter}  # the other hooks need not wait for the device
    hook.after_train(made)
    assert lines(tmp_path) == [{"iteration": n, "loss_cls": 0.5, "loss": float(n)} for n in (1, 2, 3)]
    again, made.iter = hooks.LossLog(progress=False), 2  # from a snapshot of two updates
    again.before_train(made)
    assert [line["iteration"] for line in lines(tmp_path)] == [1, 2]
    assert (again.bar.n, again.bar.total) == (2, 12)
    again.after_train_iter(made, 2, outputs=outputs(9.0))
    assert [line["iteration"] for line in lines(tmp_path)] == [1, 2, 3]
    (tmp_path / "losses.jsonl").unlink()
    again.before_train(made)
    assert lines(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path, value):
    made, hook = runner(tmp_path, begun=4), hooks.LossLog(progress=False)
    hook.before_train(made)
    with pytest.raises(FloatingPointError, match=f"the loss is {value} at iteration 5"):
        hook.after_train_iter(made, 4, outputs=outputs(value))
    assert lines(tmp_path) == []


def test_the_other_processes_log_nothing(tmp_path, monkeypatch):
    made, hook = runner(tmp_path), hooks.LossLog(progress=False)
    hook.before_train(made)
    monkeypatch.setattr(hooks, "is_main_process", lambda: False)
    hook.after_train_iter(made, 0, outputs=outputs(1.0))
    assert lines(tmp_path) == []


@pytest.mark.parametrize("progress", [True, False])
def test_bars_are_shown_where_they_are_asked_for(tmp_path, capsys, progress):
    log, made = hooks.LossLog(progress), runner(tmp_path)
    log.before_train(made)
    log.after_train_iter(made, 0, outputs=outputs(1.0))
    log.after_train(made)
    bar = hooks.TestBar(progress)
    bar.before_test(SimpleNamespace(test_dataloader=[0, 1, 2]))
    for batch in range(3):
        bar.after_test_iter(None, batch)
    bar.after_test(None)
    said = capsys.readouterr().err
    assert [word in said for word in ("training", "test", "3/3")] == [progress] * 3


def test_an_image_is_read_by_the_houses_rules_and_compared_with_its_annotation(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = hooks.LoadWholeImage().transform({"img_path": str(tmp_path / "a.png"), "height": 4, "width": 6})
    assert np.array_equal(loaded["img"], pixels[:, :, ::-1])
    assert loaded["img"].flags.c_contiguous
    assert (loaded["img_shape"], loaded["ori_shape"]) == ((4, 6), (4, 6))
    assert hooks.LoadWholeImage().transform({"img_path": str(tmp_path / "a.png")})["img_shape"] == (4, 6)
    with pytest.raises(InputError, match=r"a.png is 6x4, its annotation says 6x5"):
        hooks.LoadWholeImage().transform({"img_path": str(tmp_path / "a.png"), "height": 5, "width": 6})


def test_configs_find_all_of_them_by_name():
    for name in ("VerifiedLoading", "AtomicSnapshot", "LossLog", "TestBar"):
        assert hooks.HOOKS.get(name) is getattr(hooks, name)
    assert hooks.TRANSFORMS.get("LoadWholeImage") is hooks.LoadWholeImage
    # The log goes first: it turns losses into numbers for mmengine's own; the snapshot and the comparison go last.
    assert (hooks.LossLog.priority, hooks.AtomicSnapshot.priority) == ("HIGHEST", "VERY_LOW")
    assert hooks.LossLog().progress
    assert hooks.TestBar().progress
