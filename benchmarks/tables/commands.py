"""Every table's command: which task fills it, and what is its own. The tools and ``flsl-bench table`` start these."""

from __future__ import annotations

from benchmarks.core.tasks import task_named
from benchmarks.errors import InputError
from benchmarks.tables import ade20k, davis, table1, table2, table3, table4, table5, table6
from benchmarks.tables.command import ENGINES, TableCommand
from benchmarks.tables.twelve import twelve

#: Others' rows under a protocol that is a task: the table has the task's name.
_OTHERS = {table.stem: table for table in davis.TABLES if table.tasks == (table.stem,)}

NAMES = ("1", "2", "3", "4", "5", "6", "ade20k", *_OTHERS)


def command(name: str) -> TableCommand:
    """The command of a table; :class:`InputError` names those that there are."""
    if name not in NAMES:
        raise InputError(f"there is no table {name}: {', '.join(NAMES)}")
    if name in _OTHERS:
        example = f"flsl-bench table {name} --checkpoint mine=mine.pth --data-root data --out runs/{name}"
        return TableCommand(_OTHERS[name], task_named(name), _DOC_OTHERS.format(_OTHERS[name].title), example)
    return _COMMANDS[name]()


_DOC_OTHERS = """{}: your checkpoints beside what others published.

A checkpoint is held against a row only if its method, network, pretraining data and epochs are the row's, by its file
or on your word (NAME=PATH,method=...,data=...,epochs=...); any other stands below the rows. Scale mini says nothing
about them.
"""

_DOC_1 = """Table 1 of the paper: Mask R-CNN FPN on COCO for your checkpoints, beside the paper's numbers.

The config goes by the checkpoint: ViT-S/16, ViT-S/8, any other ViT, ResNet-50. Scale mini runs the same code with a
small frozen detector on two cores, on the shapes world if there is no COCO under --data-root; it says nothing about the
paper. The published batch is kept on fewer GPUs: --per-device sets how many images a GPU takes at a time.
"""

_DOC_2 = """Table 2 of the paper: ViTDet-B/16 on COCO for your checkpoints, beside the paper's numbers.

In mmdet or, where it is installed, in detectron2: the same detector, whose parameters load into each other. Scale mini
runs the same code at a size for two cores, on the shapes world if there is no COCO under --data-root; it says nothing
about the paper. The published batch of 64 is kept on fewer GPUs: --per-device sets how many images one takes at a time.
"""

_DOC_3 = """Table 3 of the paper: Faster R-CNN FPN on UAVDT for your checkpoints, beside the paper's numbers.

Scale mini runs the same code with a small frozen detector on two cores, on the shapes world's aerial sequences if there
is no UAVDT under --data-root; it says whether weights are good for anything, and nothing about the paper.
"""

_DOC_4 = """Table 4 of the paper: DAVIS 2017 by label propagation for your checkpoints, beside the paper's numbers.

Scale mini runs the same code at 192 pixels on two cores, on the shapes world's videos if there is no DAVIS under
--data-root; it says whether weights are good for anything, and nothing about the paper. No engine and no seed takes
part, and a GPU does a checkpoint in minutes: --gpus N judges N checkpoints side by side; torchrun changes nothing.
"""

_DOC_5 = """Table 5 of the paper: the coefficients of the FLSL objective, judged by bbox-aligned k-NN.

Starts the pretraining of every setting, or picks it up where it was; --checkpoint SETTING=PATH takes one that is there.
Scale paper is ViT-S/16, 100 epochs each, and needs GPUs; scale mini runs the small configuration on two cores, on the
shapes world if there is no ImageNet under --data-root, and says nothing about the paper.
"""

_DOC_6 = """Table 6 of the paper: the number of centroids K, judged by bbox-aligned k-NN.

Starts the pretraining of every setting, or picks it up where it was; --checkpoint SETTING=PATH takes one that is there.
Scale paper is ViT-S/16, 100 epochs each, and needs GPUs; scale mini runs the small configuration on two cores, on the
shapes world if there is no ImageNet under --data-root, and says nothing about the paper.
"""

_DOC_ADE20K = """Semantic FPN on ADE20K for your checkpoints: mIoU, mean and pixel accuracy, per class, and pictures.

Recipe released is FLSL's and SelfPatch's published code with its oddities; corrected has real pyramid levels and spares
norms from weight decay. Scale mini is a small frozen network on two cores, on the shapes world if there is no ADE20K.
"""

_COMMANDS = {
    "1": lambda: TableCommand(
        table1.TABLE,
        task_named("coco-mask-rcnn"),
        _DOC_1,
        (
            "python tools/table1.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
            "      --data-root data --out runs/table1 --launcher torchrun --gpus 4 --per-device 1"
        ),
        engines=ENGINES,
        variant=("--as-released", "8heads", "ViT-S/16 with the 8 heads of the released config; a row of its own"),
        more=lambda table, results: [twelve(table, results)],
    ),
    "2": lambda: TableCommand(
        table2.TABLE,
        task_named("coco-vitdet"),
        _DOC_2,
        (
            "python tools/table2.py --checkpoint mae=mae_b16.safetensors --checkpoint flsl=flsl_b16.safetensors \\\n"
            "      --data-root data --out runs/table2 --launcher torchrun --gpus 8 --per-device 2"
        ),
        engines=ENGINES,
        variant=("--relative-positions", "relpos", "with them, as detectron2's published config; a row of its own"),
        more=lambda table, results: [twelve(table, results)],
    ),
    "3": lambda: TableCommand(
        table3.TABLE,
        task_named("uavdt"),
        _DOC_3,
        (
            "python tools/table3.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
            "      --data-root data --out runs/table3 --launcher torchrun --gpus 8"
        ),
        engines=("mmdet",),
    ),
    "4": lambda: TableCommand(
        table4.TABLE,
        task_named("davis"),
        _DOC_4,
        (
            "python tools/table4.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
            "      --data-root data --out runs/table4"
        ),
    ),
    "5": lambda: TableCommand(
        table5.TABLE,
        task_named("knn-of-pretraining"),
        _DOC_5,
        "python tools/table5.py --data-root data --out runs/table5 --launcher torchrun --gpus 8 --seeds 0 1 2",
        ablation=table5.ABLATION,
    ),
    "6": lambda: TableCommand(
        table6.TABLE,
        task_named("knn-of-pretraining"),
        _DOC_6,
        "python tools/table6.py --data-root data --out runs/table6 --launcher torchrun --gpus 8 --seeds 0 1 2",
        ablation=table6.ABLATION,
    ),
    "ade20k": lambda: TableCommand(
        ade20k.TABLE,
        task_named("ade20k-fpn"),
        _DOC_ADE20K,
        (
            "python tools/ade20k.py --checkpoint dino=dino_s16.safetensors --data-root data --out runs/ade20k \\\n"
            "      --launcher torchrun --gpus 8"
        ),
    ),
}
