"""The set-up: what is imported is named, a wheel has what a checkout has, and make throws nothing away."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks import __version__
from benchmarks.installation import faults

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="reads pyproject.toml on Python 3.10")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What is imported, where its distribution has another name.
NAMES = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "yaml": "pyyaml"}
NAMES |= {
    "mmengine": "onedl-mmengine",
    "mmcv": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmseg": "onedl-mmsegmentation",
}
NAMES |= {"faster_coco_eval": "faster-coco-eval", "tensorboard": "tensorboard"}
#: Of this project, of nobody's registry, or (the mutation tool) of an environment of its own that make mutants builds.
OURS = {"tomllib", "benchmarks", "pretrain", "tools", "third_party_configs", "detectron2", "cosmic_ray"}


def named(lines):
    return {re.split(r"[\s=<>!~;\[]", line)[0].lower() for line in lines if line and line[0] not in "#-"}


def imported(*folders):
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    found -= set(sys.stdlib_module_names) | OURS
    return {NAMES.get(name, name) for name in found}


PINS = named((ROOT / "requirements.txt").read_text().splitlines())
LIGHT = named(PROJECT["dependencies"])
EXTRAS = {name: named(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def test_requirements_name_everything_that_is_imported():
    assert imported("benchmarks", "pretrain", "tools", "third_party_configs") - PINS == set()
    local = {name for path in (ROOT / "tests").rglob("*.py") for name in (path.stem, path.parent.name)}
    assert imported("tests") - local - PINS - {"_pytest"} == set()


def test_pyproject_names_everything_that_is_imported_and_the_pins_are_of_the_same():
    known = LIGHT | EXTRAS["detection"] | EXTRAS["dev"]
    assert imported("benchmarks", "pretrain", "tools", "third_party_configs") - known == set()
    assert PINS - known == {"ruff", "setuptools"}
    assert known - PINS == set()


def test_only_the_engines_rooms_need_the_extra_detection():
    assert imported("pretrain") - LIGHT == set()
    rest = [p.name for p in (ROOT / "benchmarks").iterdir() if p.is_dir() and p.name not in ("engines", "regression")]
    for room in rest:
        assert imported(f"benchmarks/{room}") - LIGHT - {"faster-coco-eval", "hotcoco"} == set(), room


def test_light_parts_import_no_openmmlab():
    """In one process: an import that anything does at its top would show."""
    code = (
        "import sys, benchmarks, benchmarks.davis.run, benchmarks.knn.run, benchmarks.checkpoints.convert\n"
        "import benchmarks.coco.scoring, benchmarks.uavdt.evaluation, benchmarks.report\n"
        "import benchmarks.figures.command, pretrain.trainer\n"
        "heavy = {'mmengine', 'mmcv', 'mmdet', 'mmseg', 'detectron2'}\n"
        "print([m for m in sys.modules if m.split('.')[0] in heavy and m != 'mmcv._ext'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_this_installation_has_no_faults():
    assert faults() == []


def test_torch_is_at_least_the_one_whose_safe_loading_has_no_known_hole():
    bound = next(line for line in PROJECT["dependencies"] if line.startswith("torch>"))
    assert bound == "torch>=2.10"
    assert tuple(map(int, importlib.metadata.version("torch").split(".")[:2])) >= (2, 10)


def test_a_wheel_has_every_config_and_stored_file(tmp_path):
    pytest.importorskip("setuptools", reason="builds a wheel without a network")
    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "data", "build", "*.egg-info", "__pycache__", "docs")
    )
    shutil.copytree(
        ROOT / "benchmarks", source / "benchmarks", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        ".",
    ]
    done = subprocess.run([*map(str, command)], cwd=source, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("needs pip")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("flsl_benchmarks-*.whl")
    assert __version__ in wheel.name
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "benchmarks", "pretrain", "third_party_configs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    files = tracked.stdout.split() or [str(p.relative_to(ROOT)) for p in (ROOT / "third_party_configs").rglob("*.py")]
    assert [name for name in files if name not in inside] == []
    entry = next(name for name in inside if name.endswith("entry_points.txt"))
    assert b"flsl-bench = benchmarks.__main__:main" in zipfile.ZipFile(wheel).read(entry)


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def would_do(folder, *words):
    done = subprocess.run(["make", "-n", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def set_up(tmp_path):
    """A folder whose set-up is done: its stamps are there."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    ready = re.search(r"touch (\.venv/ready-\S+)", would_do(tmp_path, "test"))[1]
    (tmp_path / ready).touch()
    (tmp_path / ".venv/installed").touch()
    assert "install" not in would_do(tmp_path, "test").replace(".venv/installed", "")
    return tmp_path


@needs_make
def test_a_venv_outlives_a_changed_makefile_and_version_but_not_changed_requirements(set_up):
    later = os.stat(set_up / ".venv/installed").st_mtime + 10
    os.utime(set_up / "Makefile", (later, later))
    os.utime(set_up / "requirements.txt", (later, later))  # touched, not changed
    assert "rm -rf .venv" not in would_do(set_up, "test")
    os.utime(set_up / "pyproject.toml", (later, later))
    again = would_do(set_up, "test")
    assert "rm -rf .venv" not in again
    assert "--no-deps --no-build-isolation -e ." in again
    with open(set_up / "requirements.txt", "a") as file:
        file.write("tqdm==4.70.1\n")
    assert "rm -rf .venv" in would_do(set_up, "test")


@needs_make
def test_lint_needs_ruff_alone(set_up):
    text = would_do(set_up, "lint")
    assert "-r requirements.txt" not in text
    assert re.search(r"install .*ruff==\d", text)


@needs_make
def test_tests_and_regression_hide_the_gpu_and_pip_stands_in_for_uv(set_up):
    assert "CUDA_VISIBLE_DEVICES= .venv/bin/python -m pytest" in would_do(set_up, "test")
    assert "CUDA_VISIBLE_DEVICES= .venv/bin/python tools/ci_regression.py" in would_do(set_up, "regression")
    with open(set_up / "requirements.txt", "a") as file:
        file.write("numpy\n")
    with_pip, with_uv = would_do(set_up, "test", "UV="), would_do(set_up, "test", "UV=uv")
    assert "-m pip" in with_pip
    assert "--force-reinstall --no-deps opencv-python-headless==" in with_pip
    assert "uv pip install" in with_uv
    assert "--force-reinstall" not in with_uv


def test_nothing_of_the_set_up_asks_for_a_compiler():
    for name in ("Makefile", "requirements.txt", ".github/workflows/ci.yml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"\b(gcc|nvcc|ninja|MMCV_WITH_OPS|FORCE_CUDA)\b", text), name
