"""Faster R-CNN FPN on VisDrone-DET: Table 3's detector on the data that its image size was chosen for.

Command: flsl-bench run NAME=PATH --tasks visdrone-faster-rcnn --scale paper --data-root data --out runs/visdrone
Cost: 12 epochs of 6,471 pictures, batch 8: 9,700 steps; not measured here.
Expected score: none is published for these checkpoints.

Values of benchmarks/visdrone/options.py replace those below.
"""

_base_ = "./faster_rcnn_vit_fpn_uavdt.py"
custom_imports = dict(
    imports=[
        "benchmarks.engines.mmdet_backbone",
        "benchmarks.engines.mmengine_hooks",
        "benchmarks.engines.mmdet_regions",
        "benchmarks.engines.mmdet_uavdt",
        "benchmarks.engines.mmdet_visdrone",
    ]
)

model = dict(roi_head=dict(bbox_head=dict(num_classes=10)))
test_evaluator = dict(
    _delete_=True, type="VisdroneMetric", scorer="benchmarks.visdrone.detections.score_pictures", ground_truth=""
)
val_evaluator = dict(
    _delete_=True, type="VisdroneMetric", scorer="benchmarks.visdrone.detections.score_pictures", ground_truth=""
)
train_cfg = dict(max_iters=9_700)
