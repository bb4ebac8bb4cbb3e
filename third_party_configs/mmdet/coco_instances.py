"""What every detector here does with COCO 2017 and with a run: loaders, hooks, snapshots. Not an experiment.

Images are decoded whole or the run ends. Order and augmentations are functions of the seed and the draw, so that a run
that was killed goes on as if nothing had been. ``detect_dataloader`` is what is scored at the end. Where the data is,
its classes, the batch and the schedule come from benchmarks/coco/run.py, which reads ``recipe`` and ``expects`` of the
experiment.
"""

_base_ = "mmdet::_base_/datasets/coco_instance.py"
custom_imports = dict(
    imports=[
        "benchmarks.engines.mmdet_backbone",
        "benchmarks.engines.mmengine_hooks",
        "benchmarks.engines.mmdet_precision",
        "benchmarks.engines.mmdet_regions",
        "benchmarks.engines.mmdet_replay",
        "benchmarks.engines.mmdet_vitdet",
    ]
)
default_scope = "mmdet"

_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(_delete_=True, type="NumberedSampler", shuffle=True),
    batch_sampler=None,
    dataset=dict(type="ReplayedCoco", pipeline=[]),
)
detect_dataloader = dict(
    batch_size=1,
    num_workers=4,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="Resize", scale=(1333, 800), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=_meta_keys),
        ],
    ),
)
# mmdet's own metric reports AP50 and AP75 at 1000 detections an image; COCO defines them at 100.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None

train_cfg = dict(type="IterBasedTrainLoop", max_iters=0)
optim_wrapper = dict(type="OptimWrapper")
param_scheduler = []
default_hooks = dict(checkpoint=None, logger=None, timer=None, runtime_info=dict(type="RuntimeInfoHook"))
custom_hooks = [
    dict(type="VerifiedLoading"),
    dict(type="ReplayedSteps"),
    dict(type="LossLog"),
    dict(type="AtomicSnapshot", interval=1000),
]
log_level = "ERROR"
