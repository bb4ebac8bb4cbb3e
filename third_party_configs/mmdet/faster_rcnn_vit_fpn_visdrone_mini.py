"""Faster R-CNN FPN on the small ViT and the shapes world's aerial pictures: VisDrone's code path for two CPU cores.

Command: flsl-bench run NAME=PATH --tasks visdrone-faster-rcnn --scale mini --data-root DIR --out runs/visdrone-mini
Cost and expected score: docs/uavdt.md, "VisDrone-DET". Not a paper setting.
"""

_base_ = "./faster_rcnn_vit_fpn_mini.py"
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
