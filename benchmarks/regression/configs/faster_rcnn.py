"""UAVDT's Faster R-CNN FPN of the regression: the miniature with a narrower box head, whose weights fit the repository.

Command: tools/ci_regression.py.  Cost and expected score: docs/regression.md. Not a paper setting.
"""

_base_ = "../../../third_party_configs/mmdet/faster_rcnn_vit_fpn_mini.py"

model = dict(roi_head=dict(bbox_head=dict(fc_out_channels=64)))
