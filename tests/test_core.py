"""The core: a network that was never a file, jobs that are known by what decides them, one command for everything."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from in_process import run_suite

import benchmarks
from benchmarks import shapes
from benchmarks.checkpoints import convert
from benchmarks.checkpoints.card import DINO_RESIZE, SIZE_RESIZE
from benchmarks.coco.task import Settings as CocoSettings
from benchmarks.controls import POSITIVE_CONTROL, write_random_control
from benchmarks.core import settings as of_settings
from benchmarks.core.command import _facts
from benchmarks.core.job import read_job
from benchmarks.core.model import load_model, name_of
from benchmarks.core.request import Entry, Request, expand
from benchmarks.core.tasks import task_named, tasks
from benchmarks.engines.identity import resolved_config
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def mean_colour(images):
    """A function of images that is a network to judge."""
    return torch.nn.functional.avg_pool2d(images, 8).permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_davis(root, 0, 2, frames=4, height=96, width=160)
    return root


def test_five_lines_judge_a_function_that_was_never_a_file(world, tmp_path):
    model = benchmarks.load_model(mean_colour, patch_size=8, name="colour")
    result = benchmarks.evaluate(model, "davis", data_root=world, scale="mini", out=tmp_path, device="cpu")
    assert 0 < result.metrics["J&F-Mean"] < 1
    (stored,) = (tmp_path / "records").glob("*.json")
    assert json.loads(stored.read_text()) == result.to_dict()
    assert (result.name, result.scale, result.architecture["patch_size"]) == ("colour", "mini", 8)
    assert result.settings["protocol"]["short_side"] == 192


def test_a_module_is_known_by_its_weights_and_done_once(world, tmp_path, monkeypatch):
    class Patches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.projection = torch.nn.Conv2d(3, 12, 8, 8)

        def forward(self, images):
            return self.projection(images).flatten(2).transpose(1, 2)

    def judge(module, **changes):
        model = benchmarks.load_model(module, patch_size=8, name="mine")
        return benchmarks.evaluate(model, "davis", world, "mini", tmp_path, device="cpu", settings=changes)

    first = judge(Patches())
    runs = []
    monkeypatch.setattr("benchmarks.davis.task.Davis.run", lambda *_: runs.append(1))
    assert judge(Patches()).to_dict() == first.to_dict()
    assert not runs
    other = Patches()
    with torch.no_grad():
        other.projection.bias += 1
    for module, changes in ((other, {}), (Patches(), {"frames": 3})):
        with pytest.raises(AttributeError):  # what the stand-in gives is no outcome: it did run
            judge(module, **changes)
    assert len(runs) == 2
    assert len({load_model(mean_colour, patch_size=8).sha256 for _ in range(2)}) == 2  # a function has no content


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: load_model(mean_colour), "needs patch_size"),
        (lambda: load_model(3, patch_size=8), "a checkpoint, a module or a function, not int"),
        (lambda: load_model(lambda x: x, patch_size=8), r"gives \[1, 3, 16, 16\] for images \[1, 3, 16, 16\]"),
        (lambda: load_model(mean_colour, patch_size=4), "it must give"),
        (lambda: load_model(mean_colour, patch_size=8, mean=(0.5,)), "mean has 1 values"),
        (lambda: load_model(mean_colour, patch_size=8, epochs=3), "name it as well"),
        (lambda: load_model(POSITIVE_CONTROL, patch_size=8), "whose card says its patch_size"),
        (lambda: benchmarks.evaluate(load_model(mean_colour, patch_size=8), "davis", "x", "medium"), "paper or mini"),
        (lambda: task_named("davos"), "there is no task davos: .*davis"),
        (
            lambda: benchmarks.evaluate(load_model(mean_colour, patch_size=8), "uavdt", "x", "mini"),
            "takes a checkpoint",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(call, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=line):
        call()


def test_importing_the_suite_is_light():
    code = "import sys, benchmarks; print(sorted(m for m in ('torch', 'mmdet', 'mmcv') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
    code = (
        "import sys, benchmarks; benchmarks.tasks(); print([m for m in ('mmdet', 'mmcv', 'mmseg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_every_task_has_settings_that_survive_json():
    for task in tasks().values():
        for scale in ("paper", "mini"):
            settings = task.settings(scale)
            assert of_settings.from_json(type(settings), of_settings.to_json(settings)) == settings, task.name
        assert task.headline({}) == dict.fromkeys((heading for heading, *_ in task.columns))
        assert task.needs in ("features", "weights")


def test_settings_of_another_name_or_type_are_refused():
    assert of_settings.change(CocoSettings(), {"updates": 3}).updates == 3
    faults = {"speed": (3, "there is no setting speed"), "updates": ("3", "updates is '3': give int")}
    faults |= {"engine": ("caffe", "choose one of mmdet, detectron2"), "batch": (True, "batch is True: give int")}
    for name, (value, line) in faults.items():
        changes = {name: value}
        with pytest.raises(InputError, match=line):
            of_settings.change(CocoSettings(), changes)


# What decides a job, and what does not.


def davis_job(world, name="a", weights=POSITIVE_CONTROL, seed=0, **settings):
    task = task_named("davis")
    own = of_settings.change(task.settings("mini"), settings)
    (job,), _ = expand(Request(task, [Entry(name, load_model(weights, name=name), own)], world, "mini", [seed]))
    return job


def test_a_job_is_known_by_weights_data_and_settings_alone(world, tmp_path):
    one = davis_job(world)
    moved = tmp_path / "elsewhere"
    shutil.copytree(world, moved)
    (moved / "davis" / "DAVIS-trainval.zip").write_bytes(b"x")
    (moved / "davis" / "DAVIS" / ".DS_Store").write_bytes(b"x")
    copied = tmp_path / "other name.safetensors"
    shutil.copy(POSITIVE_CONTROL, copied)
    assert davis_job(moved, "b", copied).hash == one.hash
    write_random_control(tmp_path / "random.safetensors", 0)
    assert davis_job(world, weights=tmp_path / "random.safetensors").hash != one.hash
    assert davis_job(world, frames=3).hash != one.hash
    mask = next((moved / "davis").rglob("Annotations/480p/*/00001.png"))
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert davis_job(moved).hash != one.hash


def test_a_new_version_of_a_task_is_another_job(world, monkeypatch):
    one = davis_job(world)
    monkeypatch.setattr("benchmarks.davis.task.Davis.version", 99, raising=False)
    other = davis_job(world)
    assert other.hash != one.hash
    assert (other.task_version, other.study) == (99, other.study) != (one.task_version, one.study)


def test_a_job_survives_its_file_and_says_what_changed_since(world, tmp_path):
    job = davis_job(world)
    again = read_job(job.write(tmp_path))
    assert again.identity == job.identity
    assert again.hash == job.hash
    weights = tmp_path / "w.safetensors"
    shutil.copy(POSITIVE_CONTROL, weights)
    planned = davis_job(world, weights=weights)
    write_random_control(weights, 0)
    with pytest.raises(InputError, match="has changed since the job was planned"):
        planned.model()


def test_how_the_work_is_shared_out_is_no_other_job():
    usual = of_settings.deciding(CocoSettings())
    assert of_settings.deciding(CocoSettings(per_device=2)) == usual
    assert of_settings.deciding(CocoSettings(batch=2)) != usual


def test_two_names_of_the_same_weights_are_refused(world):
    task = task_named("davis")
    entries = [Entry(name, load_model(POSITIVE_CONTROL, name=name), task.settings("mini")) for name in "ab"]
    with pytest.raises(InputError, match="a and b are the same weights with the same settings"):
        expand(Request(task, entries, world, "mini"))


def test_an_engines_config_is_what_it_resolves_to(tmp_path):
    pytest.importorskip("mmdet")
    from benchmarks.engines.mmengine_run import read_config

    folder = tmp_path / "mmdet"
    shutil.copytree(ROOT / "third_party_configs" / "mmdet", folder)

    def resolved():
        return resolved_config(read_config(folder / "mask_rcnn_vit_s16_fpn_1x_coco.py"))

    def replace(name, old, new):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    before = resolved()
    json.dumps(before)
    replace("coco_instances.py", "What every detector here does", "What each detector here does")
    replace("coco_instances.py", "num_workers=4", "num_workers=8")
    assert resolved() == before  # a docstring, and how many processes read
    replace("mask_rcnn_vit_fpn_1x_coco.py", "drop_path_rate=0.05", "drop_path_rate=0.1")
    assert resolved() != before  # the base's base counts


def test_a_lazy_config_is_what_it_resolves_to(tmp_path):
    pytest.importorskip("detectron2", reason="needs detectron2")
    from benchmarks.engines.detectron2 import read_config

    folder = tmp_path / "detectron2"
    shutil.copytree(ROOT / "third_party_configs" / "detectron2", folder)
    own = folder / "mask_rcnn_vitdet_b16_relpos_100ep_coco.py"
    base = folder / "mask_rcnn_vitdet_b16_100ep_coco.py"
    before = resolved_config(read_config(own))
    assert resolved_config(read_config(own)) == before
    text = base.read_text()
    base.write_text(text.replace('"""ViTDet', '"""The ViTDet', 1))
    assert resolved_config(read_config(own)) == before
    assert "rate=0.7" in text
    base.write_text(text.replace("rate=0.7", "rate=0.8", 1))
    assert resolved_config(read_config(own)) != before


def test_addresses_are_no_part_of_a_config():
    def one():
        pass

    assert resolved_config({"_target_": one, "x": (1, {2})}) == {
        "_target_": f"{__name__}.{one.__qualname__}",
        "x": [1, [2]],
    }
    assert resolved_config({"b": None, "a": 1, "work_dir": "/x"}) == {"a": 1, "b": None}


def test_a_corrected_rule_is_not_served_from_an_old_conversion(tmp_path, monkeypatch):
    from benchmarks.checkpoints.canonical import read_canonical

    tensors, card = read_canonical(POSITIVE_CONTROL)
    resize = [DINO_RESIZE]

    def converted(located, target, heads=None):
        from benchmarks.checkpoints.canonical import write_canonical

        write_canonical(target, dict(tensors), dataclasses.replace(card, resize=resize[0]))

    source = tmp_path / "x.pth"
    torch.save({"teacher": {}}, source)
    monkeypatch.setattr(convert, "convert", converted)
    first = convert.canonical(source, cache_dir=tmp_path)
    assert convert.canonical(source, cache_dir=tmp_path) == first
    resize[0] = SIZE_RESIZE
    monkeypatch.setattr(convert, "rules", lambda: "another")
    assert read_canonical(convert.canonical(source, cache_dir=tmp_path))[1].resize == SIZE_RESIZE


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("runs/a b/dino_s16.pth.tar", "dino_s16"),
        ("timm:vit_small_patch16_224.dino", "vit_small_patch16_224.dino"),
        ("hf:facebook/dinov2-base@main", "dinov2-base_main"),
        ("https://x.org/y/mae.pth#sha256=ab", "mae"),
        ("folder/", "folder"),
    ],
)
def test_a_checkpoint_that_nobody_named_has_a_name(source, name):
    assert name_of(source) == name


# Whose weights.


def test_what_is_said_after_a_checkpoint():
    assert _facts("a,b.pth") == ("a,b.pth", {})
    assert _facts("x.pth,method=DINO,epochs=300,data=IN-1k,heads=6") == (
        "x.pth", {"method": "DINO", "epochs": 300, "data": "IN-1k", "heads": 6},
    )  # fmt: skip
    for wrong in ("x.pth,epochs=many", "x.pth,method="):
        with pytest.raises(InputError, match="give a"):
            _facts(wrong)


# The command line.


def test_one_command_judges_by_several_tasks_and_does_nothing_twice(world, tmp_path):
    words = ["run", f"a={POSITIVE_CONTROL}", "--tasks", "davis,davis-crw", "--scale", "mini", "--data-root", world]
    words += ["--out", tmp_path / "out", "--device", "cpu"]
    done = run_suite(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 jobs, 0 done, 1 to do") == 2
    assert not (tmp_path / "out").exists()
    planned = shlex.split(next(line for line in done.stdout.splitlines() if " --job " in line))
    again = planned[planned.index("run") :]  # before it is what runs the tests
    assert run_suite(*again, "--dry-run").returncode == 0
    done = run_suite(*words, "--json", tmp_path / "all.json")
    assert done.returncode == 0, done.stderr
    assert "DAVIS J&F (davis2017-192p (mini))" in done.stdout  # two protocols never share a column
    records = json.loads((tmp_path / "all.json").read_text())
    assert [(r["task"], r["name"], r["attribution"]["method"]) for r in records] == [
        ("davis", "a", ""),
        ("davis-crw", "a", ""),
    ]
    again = run_suite(*words)
    assert again.returncode == 0, again.stderr
    assert "[1/1" not in again.stderr
    assert run_suite("validate", tmp_path / "out").stdout == "2 records are sound\n"
    compared = run_suite("compare", tmp_path / "out")
    assert compared.returncode == 0, compared.stderr
    assert "a" in compared.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "a=no.pth", "--tasks", "davis", "--data-root", "{world}", "--out", "o"], "no.pth"),
        (
            ["run", f"a={POSITIVE_CONTROL}", "--tasks", "dav", "--data-root", "{world}", "--out", "o"],
            "there is no task dav",
        ),
        (["run", f"a={POSITIVE_CONTROL}", "--tasks", "davis", "--data-root", "{world}", "--out", "o"], "instead of 30"),
        (["run", f"a={POSITIVE_CONTROL}", "--tasks", "davis", "--data-root", "nowhere", "--out", "o"], "nowhere"),
        (["table", "7"], "there is no table 7"),
        (["walk"], "there is no command walk"),
        (["validate", "nowhere.json"], "no sound records"),
        (["compare", "{world}"], "no records"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_2(world, words, line):
    done = run_suite(*(word.format(world=world) for word in words))
    assert done.returncode == 2, done.stderr
    assert line in done.stderr
    assert "Traceback" not in done.stderr
