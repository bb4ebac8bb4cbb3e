"""``tools/report.py``: one page, complete in itself, that no record can break."""

import base64
import datetime
import html.parser
import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from in_process import run_tool
from PIL import Image

from benchmarks.controls import write_random_control
from benchmarks.core.model import load_model
from benchmarks.core.result import Result, free_result
from benchmarks.davis.dataset import Video
from benchmarks.davis.pictures import draw_sequence
from benchmarks.report import write_report
from benchmarks.report.markup import Markup, tag
from benchmarks.report.numbers import evaluation

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITHOUT_END = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Elements with their attributes, text by element; an unbalanced page is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in WITHOUT_END:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("control") / "random.safetensors"
    write_random_control(checkpoint, seed=0)
    metrics = {"J&F-Mean": 0.618, "J-Mean": 0.602, "F-Mean": 0.634, "per_object": {"a_1": {"J": 0.5, "F": None}}}
    run = {"protocol": {"name": "dino"}, "seconds": 1.5}
    data = {"name": "DAVIS", "files": 3, "annotations_sha256": "0" * 64, "images_sha256": ""}
    started = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    model = load_model(checkpoint, name="dino", method="DINO", data="IN-1k")
    found = free_result(model, "davis", "davis2017-480p", metrics, run, data, 0, started)
    return {**found.to_dict(), "scale": "paper"}


def stored(folder, template, name="dino", seed=0, scale="paper", method="DINO", score=0.618):
    record = json.loads(json.dumps(template))
    record |= {"name": name, "seed": seed, "scale": scale}
    record["checkpoint"]["card"]["method"] = record["attribution"]["method"] = method
    record["checkpoint"]["card"]["architecture"] |= {"embed_dim": 384, "depth": 12, "num_heads": 6, "patch_size": 16}
    record["metrics"]["J&F-Mean"] = score
    (folder / "records").mkdir(parents=True, exist_ok=True)
    (folder / "records" / f"{len(list((folder / 'records').iterdir()))}.json").write_text(json.dumps(record))
    return record


def page_of(*folders, out, budget=10**6):
    write_report(folders, out, budget)
    return Page(out.read_text(encoding="utf-8"))


def test_the_page_loads_nothing(template, tmp_path):
    Result.from_dict(template, "template").write(tmp_path / "runs" / "records")
    page = page_of(tmp_path / "runs", out=tmp_path / "report.html")
    for _, attributes in page.elements:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "url(" not in (tmp_path / "report.html").read_text()
    assert any("default-src 'none'" in attributes.get("content", "") for _, attributes in page.elements)


def test_nothing_in_a_record_is_taken_for_html(template, tmp_path):
    record = stored(tmp_path, template, name=HOSTILE, method=HOSTILE)
    record["run"] = {HOSTILE: {HOSTILE: [HOSTILE]}}
    record["protocol"], record["command"] = HOSTILE, [HOSTILE]
    record["metrics"][HOSTILE] = 1.0
    record["libraries"] = {HOSTILE: HOSTILE}
    record["checkpoint"]["card"] |= {"notes": [HOSTILE], "licence": HOSTILE, "provenance": {"licence": HOSTILE}}
    (tmp_path / "records/0.json").write_text(json.dumps(record))
    page = page_of(tmp_path, out=tmp_path / "report.html")
    scripts = [attributes for name, attributes in page.elements if name == "script"]
    assert scripts == [{"type": "application/json", "id": "numbers"}, {}]
    assert not any(name == "img" or "onerror" in attributes for name, attributes in page.elements)
    assert page.text.count("<img src=x onerror=alert(2)>") >= 10


def test_verdicts_have_words_and_mini_is_kept_apart(template, tmp_path):
    stored(tmp_path, template, "dino")
    stored(tmp_path, template, "far", score=0.5)
    stored(tmp_path, template, "small", scale="mini")
    record = stored(tmp_path, template, "near", method="FLSL")
    record["metrics"] |= {"J&F-Mean": 0.659, "J-Mean": 0.624, "F-Mean": 0.694}
    (tmp_path / "records/3.json").write_text(json.dumps(record | {"checkpoint": other_file(record)}))
    for number, name in ((1, "far"), (0, "dino")):
        path = tmp_path / f"records/{number}.json"
        own = json.loads(path.read_text())
        path.write_text(json.dumps(own | {"checkpoint": other_file(own, name)}))
    page = page_of(tmp_path, out=tmp_path / "report.html")
    for words in ("● reproduced", "≈ within noise", "▲ differs", "○ not run", "◇ mini: no reproduction"):
        assert words in page.text
    apart = page.text.partition("Scale mini: not a reproduction")[2]
    assert "small" in apart
    assert "J&F is not the mean of J and F, 65.9" in page.text
    assert "Noise band: 0.5" in page.text


def other_file(record, name="near"):
    return record["checkpoint"] | {"sha256": name.encode().hex().ljust(64, "0")}


def test_seeds_have_a_spread_and_repeated_runs_count_once(template, tmp_path):
    for seed, score in ((0, 0.60), (1, 0.62), (1, 0.64)):
        stored(tmp_path, template, seed=seed, score=score)
    page = page_of(tmp_path, out=tmp_path / "report.html")
    assert "62.00 ± 2.83 (n = 2)" in page.text


def test_one_name_for_two_checkpoints_is_told_apart(template, tmp_path):
    stored(tmp_path, template)
    record = stored(tmp_path, template)
    record["checkpoint"]["sha256"] = "ab" * 32
    (tmp_path / "records/1.json").write_text(json.dumps(record))
    assert "dino #abab" in page_of(tmp_path, out=tmp_path / "report.html").text


def on_data(folder, template, data, **fields):
    """A record of scale mini on the data set of that fingerprint."""
    study = fields.pop("study", "")
    record = stored(folder, template, scale="mini", **fields)
    record["data"] = record["data"] | {"annotations_sha256": data * 64}
    path = sorted((folder / "records").iterdir())[-1]
    path.write_text(json.dumps(record | {"study": study}))


def test_runs_on_different_data_stand_in_no_column_or_table_together(template, tmp_path):
    on_data(tmp_path, template, "a", score=0.60)
    on_data(tmp_path, template, "b", score=0.80)
    page = page_of(tmp_path, out=tmp_path / "report.html")
    overview, _, tables = page.text.partition("Tables Table 4")
    assert "DAVIS #aaaaaa" in overview
    assert "DAVIS #bbbbbb" in overview
    assert "n = 2" not in page.text
    first, second = tables.index("davis2017-480p, DAVIS #aaaaaa"), tables.index("davis2017-480p, DAVIS #bbbbbb")
    assert first < tables.index("60.00") < second < tables.index("80.00")


def test_a_world_drawn_for_each_seed_is_one_to_compare_on(template, tmp_path):
    for seed, data in enumerate("abc"):
        on_data(tmp_path / "demo", template, data, seed=seed, score=0.60 + seed / 100)
        on_data(tmp_path / "studies", template, data, seed=seed, score=0.60 + seed / 100, study=data)
    page = page_of(tmp_path / "demo", out=tmp_path / "report.html")
    assert "61.00 ± 1.00 (n = 3)" in page.text
    # All seeds of a study have the same data, so these are three studies.
    page = page_of(tmp_path / "studies", out=tmp_path / "report.html")
    assert "n = 3" not in page.text


@pytest.mark.parametrize(
    ("benchmark", "protocol", "title"),
    [
        ("coco-mask-rcnn", "coco-mask-rcnn, mmdet (mini)", "coco-mask-rcnn, mmdet (mini)"),
        ("davis", "davis2017-480p", "davis2017-480p"),
        ("knn", "official", "knn, official"),
    ],
)
def test_a_title_says_nothing_twice(benchmark, protocol, title):
    assert evaluation(benchmark, protocol) == title


def test_a_card_says_where_facts_come_from_and_what_the_conversion_did(template, tmp_path):
    record = stored(tmp_path, template)
    record["checkpoint"]["card"] |= {"source_sha256": "5" * 64, "provenance": {"num_heads": "user"}}
    (tmp_path / "records/0.json").write_text(json.dumps(record))
    ledger = {
        "card": record["checkpoint"]["card"],
        "source_tensors": {"a": {"fate": "renamed"}, "b": {"fate": "dropped", "reason": "the head"}},
        "target_tensors": {"a": {}},
        "dropped": {"b": "the head"},
        "parameters": 1234,
    }
    (tmp_path / "any-name.json").write_text(json.dumps(ledger))
    text = page_of(tmp_path, out=tmp_path / "report.html").text
    assert "num_heads 6 from: user" in text
    assert "b: the head" in text
    assert "1,234" in text
    assert "per_object.a_1.J 0.500" in text


def test_pictures_are_scaled_and_stay_within_the_budget(template, tmp_path):
    stored(tmp_path, template)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (400, 2200, 3), np.uint8)
    for name in ("detections-a.png", "detections-b.png"):
        Image.fromarray(noise).save(pictures / name)
    (pictures / "broken.png").write_bytes(b"no picture")
    page = page_of(tmp_path, out=tmp_path / "report.html", budget=10**6)
    images = [attributes for name, attributes in page.elements if name == "img"]
    assert [image["width"] for image in images] == ["1100", "1100"]
    assert "Not readable: pictures/broken.png" in page.text
    page = page_of(tmp_path, out=tmp_path / "report.html", budget=len(images[0]["src"]) + 10)
    assert sum(name == "img" for name, _ in page.elements) == 1
    assert "the page would be too large: pictures/detections-b.png" in page.text


def test_an_animation_stands_under_its_strip_within_its_limits(template, tmp_path):
    stored(tmp_path, template)
    folder, out = tmp_path / "pictures" / "dino", tmp_path / "report.html"
    video = Video("bear", tuple(tmp_path / "frames" / f"{i:05}.jpg" for i in range(70)), ())
    (tmp_path / "frames").mkdir()
    for number, path in enumerate(video.frames):
        Image.new("RGB", (60, 40), (3 * number, 90, 90)).save(path)
    draw_sequence(folder, video, [np.zeros((40, 60), np.uint8)] * 70)

    def embedded(**limit):
        page = page_of(tmp_path, out=out, **limit)
        return page, [attributes["src"] for name, attributes in page.elements if name == "img"]

    page, (strip, animation) = embedded()
    assert strip.startswith(("data:image/png", "data:image/jpeg"))
    # Every third of 70 frames, and as long as before.
    assert "pictures/dino/bear.png moving: 24 frames" in page.text
    assert animation.startswith("data:image/webp")
    with Image.open(io.BytesIO(base64.b64decode(animation.partition(",")[2]))) as image:
        assert image.n_frames == 24
        image.seek(23)
        image.load()
        assert image.info["duration"] == 300
        red = image.convert("RGB").getpixel((image.width // 2, image.height // 2))[0]
        assert abs(red - 3 * 69) < 15
    # On paper, and where there is no room for both, there is the strip.
    assert ("details", {"class": "moving"}) in page.elements
    assert ".moving," in out.read_text().partition("@media print")[2].partition("display: none")[0]
    page, sources = embedded(budget=len(strip) + len(animation) - 1)
    assert sources == [strip]
    assert "the page would be too large: pictures/dino/bear.webp" in page.text
    (folder / "bear.webp").write_bytes((folder / "bear.webp").read_bytes()[:-3000])
    page, sources = embedded()
    assert sources == [strip]
    assert "Not readable: pictures/dino/bear.webp" in page.text


def test_losses_become_curves_also_when_the_last_line_was_cut(template, tmp_path):
    stored(tmp_path, template)
    for name in ("dino-seed0", "flsl-seed0"):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"iteration": i, "loss": 4 / (i + 1), "acc": 1.0}) for i in range(1000)]
        (tmp_path / name / "losses.jsonl").write_text("\n".join(lines) + '\n{"iteration": 10')
    page = page_of(tmp_path, out=tmp_path / "report.html")
    lines = [attributes for name, attributes in page.elements if name == "polyline"]
    assert len(lines) == 2
    assert all(100 < len(line["points"].split()) <= 240 for line in lines)
    assert "flsl-seed0" in page.text


@pytest.mark.parametrize("case", ["missing", "empty", "broken", "newer", "card", "file"])
def test_one_line_and_exit_code_2(case, template, tmp_path):
    runs = tmp_path / "runs"
    if case != "missing":
        runs.mkdir()
    if case == "broken":
        stored(runs, template)
        (runs / "records/x.json").write_text('{"record_version": 1')
    if case == "newer":
        record = stored(runs, template) | {"record_version": 99}
        (runs / "records/0.json").write_text(json.dumps(record))
    if case == "card":
        record = stored(runs, template)
        del record["checkpoint"]["card"]["architecture"]
        (runs / "records/0.json").write_text(json.dumps(record))
    if case == "file":
        (runs / "x").write_text("")
        runs = runs / "x"
    done = run_tool("report.py", runs, "--out", tmp_path / "report.html")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_the_command_says_what_it_wrote(template, tmp_path):
    stored(tmp_path / "runs", template)
    done = run_tool("report.py", tmp_path / "runs", "--out", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert "1 records, 0 pictures, 0 logs" in done.stdout


def test_markup_escapes_everything_but_itself():
    assert tag("p", "<", Markup("<br>"), title='"') == '<p title="&quot;">&lt;<br></p>'
    assert tag("b", "x") + "<" == "<b>x</b>&lt;"
    assert tag("i", hidden=True, lang=None, class_="a") == '<i hidden class="a"></i>'


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium to run the page's script")
def test_in_a_browser_tables_sort_two_checkpoints_compare_and_a_phone_is_wide_enough(template, tmp_path):
    for name, seed, score in (("a", 0, 0.70), ("a", 1, 0.72), ("b", 0, 0.60), ("b", 1, 0.63)):
        stored(tmp_path, template, name, seed, "mini", score=score)
    stored(tmp_path, template, "n" * 200, method="m" * 200)
    page_of(tmp_path, out=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    click = """<script>
      [...document.querySelectorAll("#overview thead button")].at(-3).click();
      document.querySelectorAll("details").forEach((part) => { part.open = true; });
      document.title = `${document.documentElement.scrollWidth <= innerWidth}`;
    </script></body>"""
    (tmp_path / "click.html").write_text(text.replace("</body>", click))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=390,844", "--dump-dom", (tmp_path / "click.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    page = Page(done.stdout)
    assert "<title>true</title>" in done.stdout
    overview = page.text[page.text.index("Overview") : page.text.index("Tables Table 4")]
    assert overview.index("61.50") < overview.index("71.00")
    assert ("th", {"scope": "col", "aria-sort": "ascending"}) in page.elements
    assert "J&F-Mean 0.710 ± 0.014 0.615 ± 0.021 -0.095 ± 0.007 2 pairs, larger than its spread" in page.text
