"""The built-in miniature world: toy pictures with perfect ground truth, a function of their seed alone.

It stands in for the real data sets where those are not at hand: in the demo, in the tests and for both
controls. Object classes are pairs of shape and texture with colours of their own, in light that changes.
"""

from benchmarks.shapes.aerial import AerialClip, IgnoreBox, VehicleBox, render_aerial
from benchmarks.shapes.classes import OBJECT_CLASSES, STUFF_CLASSES
from benchmarks.shapes.scene import Scene, SceneObject, render_scene, render_single
from benchmarks.shapes.video import Video, render_video
from benchmarks.shapes.writers.ade20k import write_ade20k
from benchmarks.shapes.writers.coco import write_coco
from benchmarks.shapes.writers.davis import write_davis
from benchmarks.shapes.writers.imagenet import SHAPES_WNIDS, write_imagenet
from benchmarks.shapes.writers.uavdt import UAVDT_SEQUENCES, write_uavdt
from benchmarks.shapes.writers.visdrone import write_visdrone
from benchmarks.shapes.writers.world import WORLD_SCALES, write_world

__all__ = [
    "OBJECT_CLASSES",
    "SHAPES_WNIDS",
    "STUFF_CLASSES",
    "UAVDT_SEQUENCES",
    "WORLD_SCALES",
    "AerialClip",
    "IgnoreBox",
    "Scene",
    "SceneObject",
    "VehicleBox",
    "Video",
    "render_aerial",
    "render_scene",
    "render_single",
    "render_video",
    "write_ade20k",
    "write_coco",
    "write_davis",
    "write_imagenet",
    "write_uavdt",
    "write_visdrone",
    "write_world",
]
