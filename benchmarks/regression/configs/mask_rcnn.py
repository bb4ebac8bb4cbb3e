"""Mask R-CNN FPN of the regression: the miniature with a narrower box head, whose weights fit the repository.

Command: tools/ci_regression.py.  Cost and expected score: docs/regression.md. Not a paper setting.
More boxes leave the detector than COCO's scorer takes (100): a scorer that takes another number gives another score.
"""

_base_ = "../../../third_party_configs/mmdet/mask_rcnn_vit_fpn_mini.py"

model = dict(
    roi_head=dict(bbox_head=dict(fc_out_channels=64)),
    test_cfg=dict(rcnn=dict(score_thr=0.002, max_per_img=150)),
)
