"""Frozen segmentation's rules: what the published programs gave on random tensors, and the formulas written plainly."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.errors import InputError
from benchmarks.segmentation import bank as banks
from benchmarks.segmentation import geometry, knn, linear, logistic, protocols, retrieval, ridge, search
from benchmarks.segmentation.scoring import Score

VOID = 255
PATCH = 4


@pytest.fixture(scope="module")
def published():
    """Recorded from the published programs at the commits that ``protocols.py`` names; inputs are random tensors."""
    with np.load(Path(__file__).parent / "data" / "segmentation_published.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def bank_of(features, cells, folder=None):
    parts = iter([(features, cells)])
    return banks.build(parts, len(features), features.shape[1], cells.shape[1], folder)


def score_of(truth, predicted, classes=5):
    score = Score(tuple(map(str, range(classes))))
    for one, other in zip(truth.numpy(), predicted.numpy(), strict=True):
        score.add(one, other)
    return score


def maps(cells):
    side = int(cells.shape[1] ** 0.5) * PATCH
    return geometry.from_patches(cells, (side, side), PATCH)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("metric", search.METRICS)
def test_knn_answers_and_scores_as_capi_does(published, metric, on_disk, tmp_path):
    standard = knn.Standard()
    for image in published["train"]:
        standard.add(image)
    scaler = standard.scaler()
    cells = published["train_cells"].flatten(0, 1)
    keep = knn.modal(cells) != VOID
    features = scaler(published["train"].flatten(0, 1))
    bank = bank_of(features[keep], cells[keep], tmp_path if on_disk else None)
    found = knn.predict(scaler(published["val"].flatten(0, 1)), bank, (1, 3, 10), metric)
    for k, own in found.items():
        theirs = published[f"capi_{metric}_{k}"]
        assert (own == theirs).all(1).float().mean() >= 0.98, (metric, k)
        score = score_of(maps(published["val_cells"]), maps(theirs.unflatten(0, (4, 16))))
        metrics = score.result(void="class")["metrics"]
        assert metrics["mIoU"] == pytest.approx(100 * published[f"capi_{metric}_{k}_miou"].item(), abs=1e-6)
        assert metrics["aAcc"] == pytest.approx(100 * published[f"capi_{metric}_{k}_acc"].item(), abs=1e-6)
    # Void was predicted there, which is what makes CAPI's mean another one.
    assert (published[f"capi_{metric}_1"] == VOID).any()
    assert score_of(maps(published["val_cells"]), maps(found[1].unflatten(0, (4, 16)))).confusion[:, 5].sum() > 0


def test_retrieval_draws_answers_and_scores_as_open_hummingbird_does(published, tmp_path):
    numbers = torch.Generator().manual_seed(5)
    present = [geometry.fractions(cells, 5, "first") > 0 for cells in published["train_cells"]]
    drawn = torch.stack([retrieval.drawn(one, 7, numbers) for one in present])
    assert torch.equal(drawn, published["hummingbird_drawn"])
    features = torch.cat([F.normalize(x[i], dim=1) for x, i in zip(published["train"], drawn, strict=True)])
    cells = torch.cat([x[i] for x, i in zip(published["train_cells"], drawn, strict=True)])
    for folder in (None, tmp_path):
        bank = bank_of(features, cells, folder)
        answers = retrieval.answer(published["val"].flatten(0, 1), bank, 6, 0.02, 5, "first")
        torch.testing.assert_close(answers.unflatten(0, (4, 16)), published["hummingbird_answers"], atol=2e-5, rtol=0)
        own = torch.stack([retrieval.label_map(one, (4, 4), (16, 16)) for one in answers.split(16)])
        assert (own == published["hummingbird_maps"]).float().mean() > 0.999
    metrics = score_of(maps(published["val_cells"]), published["hummingbird_maps"]).result("zero", "out", "hungarian")
    assert metrics["metrics"]["mIoU"] == pytest.approx(100 * published["hummingbird_miou"].item(), abs=1e-6)


def test_the_hungarian_rule_moves_classes_and_says_so(published):
    score = score_of(published["hungarian_truth"], published["hungarian_said"])
    found = score.result("zero", "out", "hungarian")
    assert found["metrics"]["mIoU"] == pytest.approx(100 * published["hungarian_miou"].item(), abs=1e-6)
    assert found["run"]["matching_changed"]
    assert score.result("zero")["metrics"]["mIoU"] < found["metrics"]["mIoU"]
    low, high = found["interval"]["values"]["mIoU"]
    assert low < found["metrics"]["mIoU"] < high


def test_linear_trains_step_by_step_as_dinov3_does(published):
    protocol = dataclasses.replace(protocols.LINEAR["dinov3"], iterations=12, warmup=3)
    head = linear.Head(8, 5, protocol.dropout, True)
    head.conv.weight.data.copy_(published["linear_start"])
    optimizer = linear.optimizer_of(head, protocol)
    for step in range(12):
        torch.manual_seed(100 + step)
        for group in optimizer.param_groups:
            group["lr"] = linear.rate_at(step, protocol)
        assert group["lr"] == pytest.approx(published["linear_rates"][step].item(), rel=1e-9)
        loss = linear.loss_of(head(published["linear_features"]), published["linear_labels"], protocol)
        assert loss.item() == pytest.approx(published["linear_losses"][step].item(), abs=1e-5)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(head.conv.weight, published["linear_end"], atol=1e-5, rtol=0)


def test_windows_slide_as_dinov3_slides_them(published):
    probe = linear.Probe.__new__(linear.Probe)
    probe.side, probe.classes = 20, 5
    probe.features = lambda pixels: F.avg_pool2d(pixels, 4)
    probe.head = lambda maps: maps.repeat(1, 2, 1, 1)[:, :5] * torch.arange(1, 6).view(1, -1, 1, 1)
    torch.testing.assert_close(probe.slide(published["slide_image"]), published["slide_logits"])


def test_the_loss_of_neco_leaves_void_out_and_the_others_count_it():
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    labels[:, :2] = VOID
    mean = F.cross_entropy(logits[:, :, 2:], labels[:, 2:])
    assert linear.loss_of(logits, labels, protocols.LINEAR["neco"]).item() == pytest.approx(mean.item())
    assert linear.loss_of(logits, labels, protocols.LINEAR["dinov3"]).item() == pytest.approx(mean.item() / 2)


def test_poly_and_step_schedules():
    poly = dataclasses.replace(protocols.LINEAR["dinov2"], iterations=100, warmup=10)
    assert linear.rate_at(0, poly) == pytest.approx(1e-3 * 1e-6)
    assert linear.rate_at(50, poly) == pytest.approx(0.5e-3)
    step = dataclasses.replace(protocols.LINEAR["neco"], iterations=25)
    assert [linear.rate_at(i, step) for i in (0, 19, 20, 24)] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_ridge_is_the_weighted_least_squares_solution_in_any_order():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(300, 7, generator=rng) * torch.tensor([1.0, 5, 0.1, 1, 1, 1, 0]) + 3.0
    y = torch.softmax(torch.randn(300, 4, generator=rng), dim=1)
    w = torch.rand(300, generator=rng)
    w[:20] = 0.0
    parts = [(x[i : i + 64], y[i : i + 64], w[i : i + 64]) for i in range(0, 300, 64)]
    head, rows = ridge.fit(parts, 0.01)
    again, _ = ridge.fit(parts[::-1], 0.01)
    assert rows == 280
    # The same by least squares over all rows at once, penalty as further rows; the last feature never changes.
    share = (w / w.sum()).double()[:, None]
    mean = (share * x).sum(0)
    deviation = (share * (x - mean) ** 2).sum(0).sqrt()
    deviation[6] = torch.inf
    z, centre = (x - mean) / deviation, (share * y).sum(0)
    design = torch.cat([share.sqrt() * z, 0.01**0.5 * torch.eye(7, dtype=torch.float64)])
    target = torch.cat([share.sqrt() * (y - centre), torch.zeros(7, 4, dtype=torch.float64)])
    weights = torch.linalg.lstsq(design, target).solution
    torch.testing.assert_close(head(x).double(), z @ weights + centre, atol=1e-5, rtol=0)
    torch.testing.assert_close(head(x), again(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("metric", search.METRICS)
def test_search_on_disk_finds_what_all_distances_find(metric, tmp_path, monkeypatch):
    rng = torch.Generator().manual_seed(1)
    rows = torch.randn(700, 24, generator=rng)
    # Rows that fp16 cannot tell apart: the fp16 search alone would take any of them.
    rows[100:400] = rows[100] + 1e-4 * torch.randn(300, 24, generator=rng)
    queries = torch.cat([rows[100:108] + 1e-4, torch.randn(20, 24, generator=rng)])
    bank = bank_of(rows, torch.zeros(700, 1, dtype=torch.uint8), tmp_path)
    asked = []
    inner = search.nearest
    monkeypatch.setattr(search, "nearest", lambda q, b, k: asked.append(len(q)) or inner(q, b, k))
    similarity, found = search.nearest_rows(queries, bank, 5, metric)
    if metric == "cosine":
        exact = (F.normalize(queries.double(), dim=1) @ F.normalize(rows.double(), dim=1).T).topk(5, dim=1)
        # The eight close ones have no proof in fp16, the others do.
        assert asked == [28, 8]
    else:
        exact = (-torch.cdist(queries.double(), rows.double())).topk(5, dim=1)
    apart = torch.arange(28) >= 8
    assert torch.equal(found[apart], exact.indices[apart])
    if metric == "cosine":
        torch.testing.assert_close(similarity.double(), exact.values, atol=1e-6, rtol=0)


def test_only_classes_that_can_win_are_enlarged_and_nothing_changes():
    rng = torch.Generator().manual_seed(0)
    cases = []
    for sharpness in (0.3, 1.0, 3.0):
        answers = torch.softmax(sharpness * torch.randn(15, 40, generator=rng), dim=1)
        answers[answers < answers.quantile(0.8, dim=1, keepdim=True)] = 0.0
        cases += [answers, answers * (torch.arange(15) < 7)[:, None]]  # some patches without any class
    # A class that is nowhere the largest of a patch, and wins between two.
    between = torch.zeros(15, 40)
    between[:, 2], between[1::2, 1], between[::2, 3] = 0.5, 0.6, 0.6
    kept = []
    for own in (*cases, between, torch.zeros(15, 40)):
        plainly = F.interpolate(own.T.reshape(1, 40, 3, 5), size=(24, 40), mode="bilinear").argmax(1)[0]
        assert torch.equal(retrieval.label_map(own, (3, 5), (24, 40)), plainly)
        assert (plainly == 2).any() or own is not between
        kept.append(len(retrieval.contenders(own.T.reshape(40, 3, 5))))
    assert kept[4] < 30
    assert kept[-2:] == [4, 1]


def test_votes_of_pixels_and_ties():
    labels = torch.tensor([[[1, 2], [1, 3], [2, 3]], [[7, 7], [4, 4], [9, 9]]], dtype=torch.uint8)
    assert knn.vote(labels).tolist() == [[1, 3], [4, 4]]
    assert knn.modal(torch.tensor([[5, 5, 255, 255], [255, 255, 255, 1]], dtype=torch.uint8)).tolist() == [5, 255]


def test_void_in_fractions():
    cells = torch.tensor([[0, 1, VOID, VOID], [VOID] * 4], dtype=torch.uint8)
    assert geometry.fractions(cells, 2).tolist() == [[0.5, 0.5], [0, 0]]
    assert geometry.fractions(cells, 2, "first").tolist() == [[0.75, 0.25], [1, 0]]
    assert geometry.fractions(cells, 2, "own").tolist() == [[0.25, 0.25, 0.5], [0, 0, 1]]


def test_classes_without_a_pixel_by_each_rule():
    truth, said = torch.tensor([[[0, 0, 1, VOID]]]), torch.tensor([[[0, 1, VOID, 2]]])
    score = score_of(truth.byte(), said.byte(), classes=4)
    assert score.result()["metrics"]["mIoU"] == pytest.approx(100 * (0.5 + 0) / 2)
    assert score.result("zero")["metrics"]["mIoU"] == pytest.approx(100 * 0.5 / 4)
    assert score.result(void="class")["metrics"]["mIoU"] == pytest.approx(100 * 0.5 / 3)
    assert score.result()["metrics"]["aAcc"] == pytest.approx(100 / 3)


def test_logistic_regression_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.linear_model")
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(200, 6, generator=rng)
    labels = (x[:, :3] + 0.7 * torch.randn(200, 3, generator=rng)).argmax(1).byte()
    protocol = dataclasses.replace(protocols.KNN["capi"], max_iter=300)
    head, _ = logistic.fit(bank_of(x, labels[:, None]), 3, 0.1, protocol, torch.device("cpu"))
    model = sklearn.LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(x.numpy(), labels.numpy())
    ours, theirs = head(x).softmax(1), torch.from_numpy(model.predict_proba(x.numpy())).float()
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_patches_there_and_back():
    labels = torch.randint(0, 9, (2, 8, 12), dtype=torch.uint8)
    cells = geometry.patches(labels, 4)
    assert cells[0, 1].tolist() == labels[0, :4, 4:8].flatten().tolist()
    assert torch.equal(geometry.from_patches(cells, (8, 12), 4), labels)
    with pytest.raises(InputError, match="patches of 14 do not fill"):
        geometry.require_square(225, 14, "the input")
