"""What leaves the house: CSV, Hugging Face's YAML, the leaderboard, and the reference records in docs/records."""

import csv
import io
from pathlib import Path

import pytest
import yaml
from in_process import run_suite
from results import result

from benchmarks.core.result import read_result
from benchmarks.errors import InputError
from benchmarks.report.leaderboard import page
from benchmarks.report.shared import as_csv, eval_results, scores

RECORDS = Path(__file__).parents[1] / "docs" / "records"


def davis(value, **fields):
    metrics = {"J&F-Mean": value, "J-Mean": value, "F-Mean": value}
    return result("davis", metrics, **({"task": "davis", "protocol": "davis2017-480p"} | fields))


def test_a_score_a_line_and_no_formula():
    rows = scores([davis(0.611, name="=cmd()", interval={"values": {"J&F-Mean": [0.6, 0.62]}})])
    first = next(csv.DictReader(io.StringIO(as_csv(rows))))
    assert first["metric"] == "DAVIS J&F"
    assert [float(first[name]) for name in ("value", "low", "high")] == pytest.approx([61.1, 60.0, 62.0])
    assert first["model"] == "'=cmd()"
    assert first["epochs"] == ""


def test_hugging_faces_yaml_has_the_mean_over_seeds_and_only_scale_paper():
    runs = [davis(0.61), davis(0.63, seed=1), davis(0.1, scale="mini"), result("uavdt", {"AP": 50.0}, task="uavdt")]
    found = eval_results(scores(runs), {"davis": "org/davis:480p"}, "https://example.org/records")
    (entry,) = yaml.safe_load(found["mine"])
    assert entry["dataset"] == {"id": "org/davis", "task_id": "480p"}
    assert entry["value"] == pytest.approx(62.0)
    assert entry["date"] == "2026-11-24"
    assert entry["source"] == {"url": "https://example.org/records"}
    assert "davis2017-480p; seeds 0, 1, standard deviation 1.41" in entry["notes"]
    hub = pytest.importorskip("huggingface_hub")
    (parsed,) = hub.parse_eval_result_entries([entry])
    assert (parsed.dataset_id, parsed.task_id, parsed.value) == ("org/davis", "480p", 62.0)


def test_what_has_no_mean_is_refused():
    two = scores([davis(0.61), davis(0.63, seed=1, protocol="davis2017-480p, 10 frames")])
    with pytest.raises(InputError, match="2 protocols, data sets or weights"):
        eval_results(two, {"davis": "org/davis:480p"})
    with pytest.raises(InputError, match="no record of scale paper"):
        eval_results(scores([davis(0.6, scale="mini")]), {"davis": "org/davis:480p"})
    with pytest.raises(InputError, match="OWNER/NAME:TASK_ID"):
        eval_results(scores([davis(0.6)]), {"davis": "davis"})


def test_the_leaderboard_ranks_within_a_metric_and_escapes():
    text = page(scores([davis(0.5, name="low"), davis(0.7, name="<b>high"), davis(0.9, name="small", scale="mini")]))
    assert "<b>high" not in text
    assert text.index("&lt;b&gt;high") < text.index("low</b>") < text.index("small</b>")
    assert 'data-filter="backbone"' in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.name)
def test_a_reference_record_is_sound_and_says_commit_and_device(path):
    record = read_result(path)
    assert record.code["commit"]
    assert record.code["dirty"] is False
    assert record.device


def test_the_commands_on_the_reference_records(tmp_path):
    assert run_suite("validate", *sorted(RECORDS.glob("*.json"))).returncode == 0
    assert run_suite("export", RECORDS.parent, "--csv", tmp_path / "s.csv").returncode == 0
    assert run_suite("leaderboard", RECORDS.parent, "--out", tmp_path / "l.html").returncode == 0
    assert "DAVIS J&amp;F" in (tmp_path / "l.html").read_text()
    refused = run_suite("export", RECORDS.parent)
    assert refused.returncode == 2
    assert "nothing is asked for" in refused.stderr
