"""ViTDet of the regression: the miniature with a narrower box head, whose weights fit the repository.

Command: tools/ci_regression.py.  Cost and expected score: docs/regression.md. Not a paper setting.
The low threshold fills every image's 100 boxes, as in mask_rcnn.py.
"""

_base_ = "../../../third_party_configs/mmdet/mask_rcnn_vitdet_mini.py"

model = dict(
    roi_head=dict(bbox_head=dict(conv_out_channels=32, fc_out_channels=64)),
    test_cfg=dict(rcnn=dict(score_thr=0.002)),
)
