"""The paper's tables as data, and what is rendered from records."""

import csv
import io

import numpy as np
import pytest
from results import result

from benchmarks.core import bootstrap
from benchmarks.tables import ade20k, table1, table2, table3, table4, table5, table6
from benchmarks.tables.paper import lines
from benchmarks.tables.render import SUFFIXES, render, sheet

TABLES = [module.TABLE for module in (table1, table2, table3, table4, table5, table6, ade20k)]


def record(name, seed, value, scale="paper", method="DINO", job="", study="", interval=None, patch=16, j=0.6):
    metrics = {"J&F-Mean": value, "J-Mean": j, "F-Mean": 0.63}
    between = {"values": {"J&F-Mean": interval}} if interval else {}
    return result(
        "davis", metrics, method, data="IN-1k", name=name, seed=seed, scale=scale, job=job, study=study,
        interval=between, patch=patch, protocol="davis2017-480p",
    )  # fmt: skip


def test_all_rows_of_the_paper_are_there_with_source_and_page():
    assert [len(table.rows) for table in TABLES[:6]] == [12, 6, 6, 9, 7, 5]
    pages = [table.source.rsplit(" ", 1)[1] for table in TABLES[:6]]
    assert pages == ["7", "7", "7", "8", "9", "9"]
    for table in TABLES:
        assert all(len(row.values) == len(table.columns) for row in table.rows)
        assert table.cost("mini", "ViT-S/16").startswith("about ")
        assert "GPU-hours" in table.cost("paper", "ViT-S/16")
    assert all("epochs, " in row.details for row in table1.TABLE.rows)
    assert table2.TABLE.cost("paper", "ViT-B/16").startswith("1,030 GPU-hours (detectron2")
    assert table1.TABLE.cost("paper", "RN50").startswith("52 GPU-hours")


def test_what_the_paper_contradicts_itself_in_is_shown():
    rows = {(row.method, row.backbone): row.values for row in table1.TABLE.rows}
    assert round(rows["FLSL", "ViT-S/16"][3] - rows["SelfPatch", "ViT-S/16"][3], 1) == 2.3
    shown = {table.number: render(sheet(table, []), "text") for table in TABLES}
    assert "the paper heads the last column AP70; it is AP75" in shown[1]
    assert "+2.3 in the abstract, +2.4 in section 5.1" in shown[1]
    vitdet = {row.method: row.values for row in table2.TABLE.rows}
    over_mae = [round(vitdet["FLSL"][column] - vitdet["MAE"][column], 1) for column in (0, 4)]
    assert over_mae == [1.9, 1.5]
    assert "+1.7 box and +1.4 mask AP in section 5.1; the rows give +1.9 and +1.5" in shown[2]
    assert shown[4].count("J&F is not the mean of J and F") == 4
    assert "window of 12x12" in shown[4]


def test_seeds_are_averaged_with_their_spread_and_studies_kept_apart():
    records = [
        record("a", 0, 0.10),
        record("a", 0, 0.614, job="j0", study="s1"),
        record("a", 1, 0.622, job="j1", study="s1"),
        record("a", 0, 0.50, job="j2", study="s2", interval=[0.4, 0.6]),
    ]
    found = [line for line in lines(table4.TABLE, records) if line.runs]
    assert [line.label for line in found] == ["IN-1k DINO (a #)", "IN-1k DINO (a #s1)", "IN-1k DINO (a #s2)"]
    both, single = found[1], found[2]
    assert (both.runs, both.verdict) == (2, "within noise")
    assert both.ours[0] == pytest.approx(61.8)
    assert both.spread[0] == pytest.approx(0.5657, abs=1e-3)
    assert both.records == ("records/davis-a-seed0-j0.json", "records/davis-a-seed1-j1.json")
    assert both.intervals == ()
    assert single.intervals[0] == (40.0, 60.0)
    assert single.differences[0] == pytest.approx(-11.8)
    text = render(sheet(table4.TABLE, records), "text")
    assert "61.80 ± 0.57" in text
    assert "[40.00, 60.00]" in text
    assert "records of IN-1k DINO (a #s2): records/davis-a-seed0-j2.json" in text


@pytest.mark.parametrize(("setting", "number"), [("K64", 6), ("K4096", 6), ("plain-v0.03-gamma5", 5)])
def test_an_old_record_stands_in_the_ablation_that_has_its_setting(setting, number):
    def knn(**run):
        return result("knn", {"top1": {"20": 50.0}}, name=setting, scale="mini", run=run)

    for table in (table5.TABLE, table6.TABLE):
        for one in (knn(setting=setting), knn(setting=setting, table=number)):
            ran = [line.label for line in lines(table, [one]) if line.runs]
            assert ran == ([setting] if table.number == number else [])
        assert not [line for line in lines(table, [knn()]) if line.runs]


@pytest.mark.parametrize(("scale", "clusters"), [("paper", 4096), ("mini", 256)])
def test_what_two_ablations_share_is_run_once_and_stands_in_both(scale, clusters):
    terms = {"intra": 0.03, "inter": 1.0, "volume": 5.0, "sinkhorn": False}
    run = {"pretraining": {"objective": terms, "model": {"clusters": clusters}}}
    shared = result("knn", {"top1": {"20": 72.0}}, name="a", scale=scale, run=run)
    found = {t.number: [line.label for line in lines(t, [shared]) if line.runs] for t in (table5.TABLE, table6.TABLE)}
    assert found == {5: ["plain-v0.03-gamma5"], 6: [f"K{clusters}"]}
    run["pretraining"]["objective"] = {**terms, "sinkhorn": True, "volume": 1.0}
    assert not [line for line in lines(table6.TABLE, [shared]) if line.runs]  # another objective with as many centroids
    assert [line.label for line in lines(table5.TABLE, [shared]) if line.runs] == ["sinkhorn-v0.03-gamma1"]


ROWS = [(table, row) for table in TABLES for row in table.rows if not row.setting]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=lambda value: getattr(value, "method", ""))
def test_every_row_can_be_reached_and_by_its_own_weights_alone(table, row):
    """A row is reached by its method, backbone, epochs and data; a word less, or another, and it is not."""
    sizes = {"ViT-S": (384, 12), "ViT-B": (768, 12)}
    size, _, patch = row.backbone.partition("/")
    metrics = {}
    for column in table.columns:
        place = metrics
        for key in column.keys[:-1]:
            place = place.setdefault(key, {})
        place[column.keys[-1]] = 0.5
    common = {"method": row.method, "epochs": row.epochs, "data": row.data, "run": {"recipe": "released"}}
    common["protocol"] = "davis2017-480p"
    if size in sizes:
        width, depth = sizes[size]
        common |= {"width": width, "depth": depth, "patch": int(patch)}

    def of(**changes):
        found = result(table.benchmark, metrics, **{**common, **changes})
        if row.backbone.startswith("RN"):
            blocks = {"RN50": ("bottleneck", [3, 4, 6, 3]), "RN18": ("basic", [2, 2, 2, 2])}[row.backbone]
            found.checkpoint["card"]["architecture"] = {"kind": "resnet", "block": blocks[0], "blocks": blocks[1]}
        ran = [line for line in lines(table, [found]) if line.runs]
        assert len(ran) == 1
        return ran[0].paper == row.values

    assert of()
    assert of(source="user")
    assert not of(method="")
    assert not of(method=f"{row.method} layout")
    if row.epochs:
        assert not of(epochs=2)
        assert not of(epochs=None)
        assert of(epochs=None, source="user")
    if row.data:
        assert not of(data="shapes world")
        assert not of(data="")


def test_the_four_formats_say_the_same():
    records = [record("a_1", 0, 0.614, job="j0"), record("b", 0, 0.5, "mini", job="j1")]
    page = sheet(table4.TABLE, records)
    for form in SUFFIXES:
        text = render(page, form)
        assert text.count("not run") == (8 if form != "csv" else 8 * 3)
        assert "records/davis-a_1-seed0-j0.json" in text
    latex = render(page, "latex")
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") - line.count(r"\&") for line in body} == {7}
    assert r"IN-1k DINO (a\_1) & ViT-S/16 & paper" in latex
    assert "$-$0.40" in latex
    assert latex.count("\\begin{") == latex.count("\\end{") == 3
    assert [latex.count(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule")] == [1, 1, 1]
    data = list(csv.DictReader(io.StringIO(render(page, "csv"))))
    assert len(data) == 3 * (9 + 1)
    ours = next(row for row in data if row["row"] == "IN-1k DINO (a_1)" and row["metric"] == "J&F")
    assert (ours["paper"], ours["ours"], ours["difference"], ours["verdict"]) == (
        "61.8",
        "61.4",
        "-0.4",
        "within noise",
    )
    markdown = render(page, "markdown").splitlines()
    assert {line.count("|") for line in markdown if line.startswith("|")} == {9}
    assert "[davis-a_1-seed0-j0.json](records/davis-a_1-seed0-j0.json)" in markdown[-2]


def test_an_interval_is_the_resamples_percentiles_around_the_score_itself():
    values = np.array([3.0, 5.0, 10.0])
    given = bootstrap.interval("images", 3, lambda drawn: {"m": drawn @ values / 3}, resamples=7, seed=5)
    drawn = bootstrap.weights(3, 7, 5) @ values / 3
    assert given["values"]["m"] == pytest.approx((6.0 + np.percentile(drawn - drawn.mean(), [2.5, 97.5])).tolist())
    assert (given["resamples"], given["units"], given["seed"]) == (7, 3, 5)
    assert set(bootstrap.of_mean("images", {"m": values[:2]})["values"]) == {"m"}
    seen = []
    bootstrap.interval("images", 2, lambda drawn: seen.append(drawn.dtype) or {"m": drawn[:, 0] * 1.0})
    assert seen == [np.int64]  # scorers count with them


def test_a_mean_and_a_share_have_the_intervals_of_theory():
    rng = np.random.default_rng(0)
    values = rng.normal(50, 10, 400)
    low, high = bootstrap.of_mean("images", {"m": values})["values"]["m"]
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.15)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    low, high = bootstrap.of_share("images", 1000, {"p": 30.0})["values"]["p"]
    assert high - low == pytest.approx(2 * 196 * np.sqrt(0.3 * 0.7 / 1000), rel=0.08)
    assert bootstrap.of_share("images", 1, {"p": 100.0}) == {}
    assert set(bootstrap.of_share("images", 2, {"p": 50.0})["values"]) == {"p"}
    assert bootstrap.of_share("images", 5, {})["values"] == {}
    again = bootstrap.of_mean("images", {"m": values})
    assert again == bootstrap.of_mean("images", {"m": values})
    assert bootstrap.of_mean("images", {"m": values[:1]}) == {}
    assert bootstrap.of_mean("images", {"m": np.array([0.0, 0.0, 0.0, 1.0])})["values"]["m"][0] == 0.0
