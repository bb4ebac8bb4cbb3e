"""The pictures of the miniature world: ground truth and pixels agree, and no easy cue gives a class away."""

import colorsys

import numpy as np
import pytest

from benchmarks import shapes
from benchmarks.shapes import video
from benchmarks.shapes.camera import Lighting
from benchmarks.shapes.classes import BASE_HUES, DARK_BASE, MARK_HUES
from benchmarks.shapes.objects import sample_look

OBJECTS = len(shapes.OBJECT_CLASSES)


@pytest.mark.parametrize("size", [96, (120, 160)])
def test_instances_semantic_labels_and_boxes_agree(size):
    crowds = 0
    for index in range(12):
        scene = shapes.render_scene(1, index, size)
        assert scene.image.shape[:2] == ((size, size) if isinstance(size, int) else size)
        assert set(np.unique(scene.instances)) == set(range(len(scene.objects) + 1))
        assert (scene.semantic[scene.instances == 0] >= OBJECTS).all()
        for number, item in enumerate(scene.objects, start=1):
            mask = scene.instances == number
            rows, columns = np.nonzero(mask)
            assert (scene.semantic[mask] == item.class_index).all()
            assert item.visible_box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.visible_area == mask.sum()
            if not item.is_crowd:
                assert item.visible_area <= 1.1 * item.area + 4
            crowds += item.is_crowd
    assert crowds > 0


def test_every_stuff_class_and_object_class_occurs():
    seen = set()
    for index in range(60):
        seen |= set(np.unique(shapes.render_scene(0, index, 64).semantic).tolist())
    assert seen == set(range(OBJECTS + len(shapes.STUFF_CLASSES)))


def test_a_single_shows_its_class_large():
    for class_index in range(OBJECTS):
        scene = shapes.render_single(0, 5, class_index, (96, 128))
        own = [item for item in scene.objects if item.class_index == class_index]
        largest = max(scene.objects, key=lambda item: item.visible_area)
        assert 1 <= len(own) <= 2
        assert largest in own
        assert max(largest.box[2] - largest.box[0], largest.box[3] - largest.box[1]) > 0.25 * 96


def test_classes_cannot_be_told_by_their_mean_colour():
    def colours(first, count):
        values, labels = [], []
        for index in range(first, first + count):
            scene = shapes.render_single(0, index, index % OBJECTS, 64)
            semantic = scene.semantic == index % OBJECTS
            values.append(scene.image[semantic].mean(axis=0))
            labels.append(index % OBJECTS)
        return np.array(values), np.array(labels)

    known, classes = colours(0, 320)
    asked, truth = colours(5000, 160)
    nearest = np.argsort(np.linalg.norm(asked[:, None] - known[None], axis=2), axis=1)[:, :10]
    votes = np.array([np.bincount(classes[row], minlength=OBJECTS).argmax() for row in nearest])
    # Chance is 1/8; colour is a hint and no more.
    assert (votes == truth).mean() < 0.4


def test_a_class_keeps_to_its_colours_within_their_spread():
    rng = np.random.default_rng(0)
    for index in range(OBJECTS):
        looks = [sample_look(rng, index) for _ in range(40)]
        hues = np.array([[colorsys.rgb_to_hsv(*colour)[0] for colour in (look.base, look.mark)] for look in looks])
        off = (hues - (BASE_HUES[index], BASE_HUES[index] + MARK_HUES[index]) + 0.5) % 1 - 0.5
        assert 0.03 < off[:, 0].std() < 0.12
        assert np.abs(off.mean(axis=0)).max() < 0.06
        assert all((look.base.max() < look.mark.max()) == DARK_BASE[index] for look in looks)


def test_light_changes_along_a_video_and_is_never_of_one_colour_alone(monkeypatch):
    light = Lighting.sample(np.random.default_rng(0))
    same = light.changed(np.zeros(3), 1.0)
    assert np.array_equal(same.tint, light.tint)
    assert same.exposure == light.exposure
    other = light.changed(np.array([-5.0, 0.0, 0.5]), 1.5)
    assert other.tint == pytest.approx([0.3, light.tint[1], 1.5 * light.tint[2]])
    assert other.exposure == 1.5 * light.exposure

    seen = []
    monkeypatch.setattr(video, "expose", lambda rng, image, light, flicker: seen.append(light) or np.zeros(image.shape))
    shapes.render_video(0, 1, frames=6, height=64, width=96)
    tints, exposures = np.array([light.tint for light in seen]), np.array([light.exposure for light in seen])
    steps = np.diff(tints, axis=0)
    assert np.abs(steps).min() > 1e-3
    assert steps == pytest.approx(steps[:1].repeat(5, axis=0), abs=1e-5)  # evenly
    ratios = exposures[1:] / exposures[:-1]
    assert abs(ratios[0] - 1) > 1e-3
    assert ratios == pytest.approx(ratios[0])


def test_a_video_keeps_its_ids_and_moves():
    video = shapes.render_video(0, 0, frames=5, height=64, width=96)
    assert video.frames.shape == (5, 64, 96, 3)
    assert len(video.classes) in (2, 3)
    assert set(np.unique(video.ids[0])) == set(range(len(video.classes) + 1))
    assert video.ids.max() == len(video.classes)
    assert (video.ids[0] != video.ids[-1]).any()


def test_a_faster_video_shows_every_so_many_th_moment_of_a_longer_one():
    slow = shapes.render_video(0, 0, frames=12, height=64, width=96)
    fast = shapes.render_video(0, 0, frames=3, height=64, width=96, every=4)
    assert fast.classes == slow.classes
    assert np.array_equal(fast.ids, slow.ids[::4])
    assert not np.array_equal(fast.ids, shapes.render_video(0, 0, frames=3, height=64, width=96).ids)


def test_vehicles_lie_in_the_frame_and_outside_of_ignored_regions():
    for index in range(3):
        clip = shapes.render_aerial(0, index, frames=2, height=96, width=160)
        assert clip.frames.shape == (2, 96, 160, 3)
        assert {box.frame for box in clip.vehicles} <= {1, 2}
        for frame in (1, 2):
            for region in (region for region in clip.ignored if region.frame == frame):
                for box in (box for box in clip.vehicles if box.frame == frame):
                    leaves = box.left < region.left or box.left + box.width > region.left + region.width
                    leaves |= box.top < region.top or box.top + box.height > region.top + region.height
                    assert leaves
        for box in clip.vehicles:
            assert box.left >= 0
            assert box.top >= 0
            assert box.left + box.width <= 160
            assert box.top + box.height <= 96
            assert box.width > 0
            assert box.height > 0
