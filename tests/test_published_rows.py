"""Rows that others published: each is reached by its own weights under its own protocol, and no column mixes any."""

import functools
import re

import pytest
from results import result

from benchmarks.core.tasks import tasks
from benchmarks.report.numbers import all_tables
from benchmarks.segmentation.protocols import KNN, LINEAR, RETRIEVAL
from benchmarks.tables import davis, detection, segmentation
from benchmarks.tables.paper import architecture_name, lines
from benchmarks.tables.render import render, sheet

OURS = (*davis.TABLES, *detection.TABLES)
PUBLISHED = [table for table in all_tables() if table.strict]
COMPARED = [table for table in PUBLISHED if table.tasks]
SIZES = {"Ti": (192, 12), "S": (384, 12), "B": (768, 12), "L": (1024, 24), "H": (1280, 32), "g": (1536, 40)}
DATA_SETS = ("ade20k", "cityscapes", "voc", "camvid")


@functools.cache
def protocols():
    """:func:`_protocols`, once."""
    return tuple(_protocols())


def _protocols():
    """Benchmark, task, protocol and run of every protocol that the suite has, with variants that bear another name."""
    for task in tasks().values():
        if task.benchmark == "davis":
            name = task.settings("paper").protocol.name
            for protocol in (name, f"{name}, 5 frames", task.settings("mini").protocol.name):
                yield task.benchmark, task.name, protocol, {}
        if task.name.startswith("coco-"):
            for variant in ("", "-8heads", "-relpos"):
                for engine in ("mmdet", "detectron2"):
                    yield task.benchmark, task.name, f"{task.name}{variant}, {engine}", {}
    for kind, known in (("linear", LINEAR), ("knn", KNN), ("retrieval", RETRIEVAL)):
        for protocol in known:
            for dataset in DATA_SETS:
                yield "segmentation", f"segmentation-{kind}", protocol, {"dataset": dataset}
    for recipe in ("released", "corrected"):
        yield "ade20k", "ade20k-fpn", f"semantic-fpn-40000 ({recipe})", {"recipe": recipe}


def architecture(backbone):
    """A card's architecture that is called ``backbone``."""
    if backbone in ("RN18", "RN50"):
        basic = backbone == "RN18"
        return {
            "kind": "resnet",
            "block": "basic" if basic else "bottleneck",
            "blocks": [2] * 4 if basic else [3, 4, 6, 3],
        }
    size, plus, patch = re.fullmatch(r"ViT-(Ti|[SBLHg]|\d+x\d+)(\+?)/(\d+)", backbone).groups()
    width, depth = SIZES.get(size) or map(int, size.split("x"))
    mlp = {"mlp": "swiglu", "mlp_hidden": 4 * width} if plus else {"mlp": "swiglu", "mlp_hidden": 8 * width // 3}
    return {"kind": "vit", "embed_dim": width, "depth": depth, "num_heads": 6, "patch_size": int(patch), **mlp}


def of(row, benchmark, task, protocol, run, table, **facts):
    metrics = {}
    for column in table.columns:
        *above, last = column.keys
        inner = metrics
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = 0.5
    facts = {"method": row.method, "epochs": row.epochs, "data": row.data, **facts}
    found = result(benchmark, metrics, task=task, protocol=protocol, run=run, **facts)
    found.checkpoint["card"]["architecture"] = architecture(row.backbone)
    return found


def held_against(tables, found):
    """The rows that a result is held against."""
    return [line.paper for table in tables for line in lines(table, [found]) if line.runs and line.paper[0] is not None]


@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table.number)
def test_a_table_is_of_one_protocol_and_one_data_set(table):
    mine = [one for one in protocols() if one[0] == table.benchmark]
    compared = [one for one in mine if table.compares(of(table.rows[0], *one, table)) and one[1] in table.tasks]
    # Both engines are one protocol.
    assert len(
        {protocol.partition(", ")[0] if name.startswith("coco") else protocol for _, name, protocol, _ in compared}
    ) == bool(table.tasks)
    for one in mine:
        found = of(table.rows[0], *one, table, source="user")
        assert bool([line for line in lines(table, [found]) if line.runs]) == (one in compared), one


@pytest.mark.parametrize(
    ("table", "row"), [(t, r) for t in COMPARED for r in t.rows], ids=lambda v: getattr(v, "method", "")
)
def test_every_row_is_reached_by_its_own_weights_under_its_own_protocol(table, row):
    assert architecture_name(architecture(row.backbone)) == row.backbone
    mine = [one for one in protocols() if one[0] == table.benchmark]
    owns = [one for one in mine if one[1] in table.tasks and table.compares(of(row, *one, table))]
    own = owns[0]
    assert held_against([table], of(row, *own, table)) == [row.values]
    for one in mine:
        if one not in owns:
            assert not held_against([table], of(row, *one, table, source="user")), one
    assert not held_against([table], of(row, *own, table, method=f"{row.method} layout"))
    assert not held_against([table], of(row, *own, table, method=""))
    if row.data:
        assert not held_against([table], of(row, *own, table, data="shapes world"))
    if row.epochs:
        assert not held_against([table], of(row, *own, table, epochs=2))
    other = "ViT-768x3/16"
    found = of(row, *own, table)
    found.checkpoint["card"]["architecture"] = architecture(other)
    assert not held_against([table], found)


def test_rows_have_source_protocol_and_pretraining_data():
    assert {table.number for table in OURS} <= {table.number for table in all_tables()}
    for table in OURS:
        assert table.source
        assert all(row.data for row in table.rows), table.number
        assert all(len(row.values) == len(table.columns) for row in table.rows)
        keys = [(row.method, row.backbone, row.data, row.epochs) for row in table.rows]
        assert len(set(keys)) == len(keys)
    counted = {table.number: len(table.rows) for table in OURS}
    assert counted["davis-dinov3-m"] == 20
    assert counted["davis-siammae"] == 19
    assert counted["vitdet-pe"] + counted["vitdet-pe-others"] == 11


def test_what_is_odd_about_a_row_is_printed_with_its_source():
    (table,) = [table for table in davis.TABLES if table.number == "davis-siammae"]
    text = render(sheet(table, []), "text")
    assert "60.4 in the README before; others measured 57.4 and 59.1" in text
    assert text.count("ToBo, arXiv 2507.06543, Table 5") == 9
    assert "SiamMAE, K400, 400 epochs  ViT-S/16" in text


def test_a_gated_mlp_of_full_width_is_another_network():
    plain = {"kind": "vit", "embed_dim": 384, "depth": 12, "num_heads": 6, "patch_size": 16}
    assert architecture_name(plain) == "ViT-S/16"
    assert architecture_name({**plain, "mlp": "swiglu", "mlp_hidden": 1536}) == "ViT-S+/16"
    assert architecture_name({**plain, "mlp": "swiglu", "mlp_hidden": 1024}) == "ViT-S/16"
    (table,) = [table for table in segmentation.TABLES if table.number == "segmentation-linear-ade20k"]
    rows = {(row.method, row.backbone): row.values for row in table.rows}
    assert (rows["DINOv3", "ViT-S/16"], rows["DINOv3", "ViT-S+/16"]) == ((47.0,), (48.8,))


def test_all_frames_or_no_row():
    """Five frames of each video are no DAVIS: nothing stands beside them."""
    (table,) = [table for table in all_tables() if table.number == 4]
    row = table.rows[3]
    whole = of(row, "davis", "davis", "davis2017-480p", {}, table)
    assert held_against([table], whole) == [row.values]
    assert not held_against([table], of(row, "davis", "davis", "davis2017-480p, 5 frames", {}, table))


#: A setting of each task that published rows exist for, and a value that its protocol has not.
TOLD = {
    "coco-mask-rcnn": {"updates": 40},
    "coco-vitdet": {"window": 7},
    "uavdt": {"epochs": 1},
    "davis": {"frames": 5},
    "ade20k-fpn": {"iterations": 100},
    "knn-of-pretraining": {"pretraining": {"epochs": 3}},
}


@pytest.mark.parametrize("task", TOLD)
def test_a_run_with_settings_of_its_own_is_held_against_no_row(task):
    from benchmarks.core.departures import departures
    from benchmarks.core.settings import to_json
    from benchmarks.core.tasks import task_named
    from benchmarks.tables import ade20k as of_ade20k
    from benchmarks.tables import table1, table2, table3, table4, table5

    tables = {"coco-mask-rcnn": table1, "coco-vitdet": table2, "uavdt": table3, "davis": table4,
              "ade20k-fpn": of_ade20k, "knn-of-pretraining": table5}  # fmt: skip
    table, known = tables[task].TABLE, task_named(task)
    row = next(row for row in table.rows if row.backbone.startswith("ViT"))
    usual = to_json(known.settings("paper"))
    run = {"recipe": "released"} if task == "ade20k-fpn" else {}
    if task == "knn-of-pretraining":
        means = dict(table.settings)[row.setting]
        nested = {}
        for key, value in means.items():
            section, _, name = key.partition(".")
            nested.setdefault(section, {})[name] = value
        run = {"pretraining": nested}
    one = (table.benchmark, task, "davis2017-480p" if task == "davis" else "p", run)
    assert held_against([table], of(row, *one, table, settings=usual)) == [row.values]
    own = {name: {**usual[name], **value} if isinstance(value, dict) else value for name, value in TOLD[task].items()}
    found = of(row, *one, table, settings={**usual, **own})
    assert len(departures(found)) == 1
    assert not held_against([table], found)
    (line,) = [line for line in lines(table, [found]) if line.runs]
    assert "other settings than the protocol's" in line.note


def test_how_a_run_was_cut_up_and_free_settings_are_no_departure():
    from benchmarks.core.departures import departures
    from benchmarks.core.settings import to_json
    from benchmarks.core.tasks import tasks

    for name, task in tasks().items():
        for scale in ("paper", "mini"):
            usual = to_json(task.settings(scale))
            assert departures(result(task.benchmark, {}, task=name, scale=scale, settings=usual)) == (), name
            assert {free.partition(".")[0] for free in task.free} <= usual.keys()
    usual = to_json(tasks()["coco-vitdet"].settings("paper"))
    told = {**usual, "per_device": 2, "checkpointing": True, "engine": "detectron2", "boxes_by": "faster-coco-eval"}
    assert departures(result("coco-vitdet", {}, task="coco-vitdet", settings=told)) == ()
    told["precision"] = "bf16"
    assert departures(result("coco-vitdet", {}, task="coco-vitdet", settings=told)) == ("precision bf16",)
    assert departures(result("coco-vitdet", {}, settings=told)) == ()  # a record of an older version
