"""Protocol spread: one checkpoint under several protocols, along one line, in text and on the page."""

import dataclasses
import json
import re

import pytest
from results import result

from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.report import write_report
from benchmarks.tables import overview
from benchmarks.tables.spread import in_words, lines, spreads

NAMES = {"davis": "davis2017-480p", "davis-crw": "crw-native", "davis-dinov3-m": "dinov3-m", "davis-siammae": "siammae"}


def one(task, value, name="mine", started="2026-11-24T00:00:00", **fields):
    metrics = {"J&F-Mean": value, "J-Mean": value, "F-Mean": value}
    fields = {"protocol": NAMES[task], **fields}
    return result("davis", metrics, name=name, task=task, started=started, **fields)


def test_a_checkpoint_stands_on_one_line_with_all_its_protocols():
    records = [one("davis-siammae", 0.524), one("davis", 0.379), one("davis-dinov3-m", 0.5)]
    records += [
        one("davis", 0.6, "alone"),
        one("davis", 0.7, scale="mini"),
        one("davis-crw", 0.8, settings={"frames": 5}),
    ]
    (found,) = spreads(records)
    assert found.protocols == ("davis2017-480p", "dinov3-m", "siammae")
    assert list(found.rows) == ["mine"]
    assert found.rows["mine"] == pytest.approx({"davis2017-480p": 37.9, "dinov3-m": 50.0, "siammae": 52.4})
    expected = (
        "protocol spread of mine: DAVIS J&F 14.50 points over 3 protocols (davis2017-480p 37.90, dinov3-m 50.00, "
    )
    assert lines(records) == [expected + "siammae 52.40)"]
    assert lines(records)[0] in overview.text(records)
    assert "protocol spread" not in overview.text(records[:1])


def test_data_scale_and_weights_are_not_mixed_and_the_newest_counts():
    other = {"name": "d", "files": 1, "annotations_sha256": "f" * 64, "images_sha256": ""}
    assert spreads([one("davis", 0.5), dataclasses.replace(one("davis-crw", 0.6), data=other)]) == []
    assert spreads([one("davis", 0.5), one("davis-crw", 0.6, scale="mini")]) == []
    records = [one("davis", 0.7, started="2026-11-25T00:00:00"), one("davis", 0.5), one("davis-crw", 0.6)]
    assert spreads(records)[0].rows["mine"]["davis2017-480p"] == 70.0
    twice = [one(task, value) for task, value in (("davis", 0.5), ("davis-crw", 0.6))]
    again = [one(task, value) for task, value in (("davis", 0.1), ("davis-crw", 0.2))]
    for record in again:
        record.checkpoint["sha256"] = "abcdef"
    assert list(spreads(twice + again)[0].rows) == ["mine #mine", "mine #abcd"]
    assert (
        in_words("x", {"a": 1.0, "b": 3.5}) == "protocol spread of x: J&F 2.50 points over 2 protocols (a 1.00, b 3.50)"
    )


def test_the_page_has_a_row_and_a_line_for_each_checkpoint(tmp_path):
    (tmp_path / "records").mkdir()
    card = Card("DINO", Architecture(384, 12, 6, 16, 224), DINO_RESIZE).to_dict()
    values = {"mine": (0.379, 0.5, 0.524), "other": (0.65, 0.7, 0.6), "<b>": (0.3, 0.31, 0.32)}
    for name, scores in values.items():
        for task, value in zip(("davis", "davis-dinov3-m", "davis-siammae"), scores, strict=True):
            content = one(task, value, name).to_dict()
            content["checkpoint"]["card"] = card
            (tmp_path / "records" / f"{len(list((tmp_path / 'records').iterdir()))}.json").write_text(
                json.dumps(content)
            )
    write_report([tmp_path], tmp_path / "report.html", 10**6)
    page = (tmp_path / "report.html").read_text()
    section = page[page.index('id="protocols"') : page.index('id="comparison"')]
    assert '<a href="#protocols">Protocols</a>' in page
    points = re.findall(r'points="([^"]*)"', section)
    assert [len(path.split()) for path in points] == [3, 3, 3]
    assert section.count("<circle") == 9
    assert "14.50" in section
    across = [[float(point.split(",")[0]) for point in path.split()] for path in points]
    assert across[0] == sorted(across[0])  # 37.9, 50.0, 52.4
    assert across[1][1] > across[1][0] > across[1][2]  # 65, 70, 60
    assert "<b>&" not in section
