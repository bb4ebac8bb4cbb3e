"""Which tests judge which module: the fast ones that are about it."""

VIEWS = ["tests/test_pretrain_views.py", "tests/test_chance.py"]
OBJECTIVE = ["tests/test_pretrain_objective.py", "tests/test_pretrain_step.py", "tests/test_pretrain_replay.py"]
ENGINES = ["tests/test_mmdet_backbone.py"]
CORE = ["tests/test_core_jobs.py", "tests/test_core_work.py", "tests/test_core_settings.py", "tests/test_records.py"]

TESTS: dict[str, list[str]] = {
    "pretrain/schedules.py": ["tests/test_schedules.py"],
    "pretrain/views.py": VIEWS,
    "pretrain/augment.py": VIEWS,
    "pretrain/augment_batch.py": VIEWS,
    "pretrain/data.py": VIEWS,
    "pretrain/meanshift.py": [*OBJECTIVE, "tests/test_pretrain_places.py"],
    "pretrain/objective.py": OBJECTIVE,
    "pretrain/step.py": [*OBJECTIVE, "tests/test_pretrain_control.py", "tests/test_pretrain_places.py"],
    "benchmarks/knn/vote.py": ["tests/test_knn.py"],
    "benchmarks/knn/geometry.py": ["tests/test_knn.py"],
    "benchmarks/uavdt/scoring.py": [
        "tests/test_uavdt_rules.py",
        "tests/test_uavdt_scoring.py",
        "tests/test_visdrone_scoring.py",
    ],
    "benchmarks/davis/propagation.py": ["tests/test_davis_propagation.py", "tests/test_davis_protocols.py"],
    "benchmarks/davis/scoring.py": ["tests/test_davis_rules.py", "tests/test_davis.py", "tests/test_davis_data.py"],
    "benchmarks/core/job.py": CORE,
    "benchmarks/core/settings.py": CORE,
    "benchmarks/core/data.py": CORE,
    "benchmarks/core/attribution.py": CORE,
    "benchmarks/core/departures.py": CORE,
    "benchmarks/core/result.py": CORE,
    "benchmarks/core/task.py": CORE,
    "benchmarks/core/request.py": CORE,
    "benchmarks/core/runner.py": CORE,
    "benchmarks/core/bootstrap.py": ["tests/test_tables.py"],
    "benchmarks/engines/schedule.py": ["tests/test_coco_recipe.py", "tests/test_schedules.py"],
    "benchmarks/engines/chance.py": ["tests/test_chance.py"],
    "benchmarks/engines/mmdet.py": [
        "tests/test_engine_changes.py",
        "tests/test_mmengine_run.py",
        "tests/test_schedules.py",
    ],
    "benchmarks/engines/mmdet_replay.py": ["tests/test_chance.py"],
    "benchmarks/engines/mmdet_backbone.py": ENGINES,
    "benchmarks/engines/mmdet_vitdet.py": ENGINES,
    "benchmarks/engines/mmcv_ops.py": ["tests/test_operators.py"],
    "benchmarks/engines/mmengine_hooks.py": [
        "tests/test_mmengine_hooks.py",
        "tests/test_coco.py",
        "tests/test_vitdet.py",
    ],
    "benchmarks/engines/mmengine_run.py": ["tests/test_mmengine_run.py", "tests/test_engine_changes.py"],
    "benchmarks/engines/mmseg_backbone.py": [*ENGINES, "tests/test_ade20k_data.py"],
    "benchmarks/engines/mmdet_uavdt.py": ["tests/test_uavdt_run.py"],
    "benchmarks/engines/identity.py": ["tests/test_core.py"],
    "benchmarks/engines/detectron2.py": ["tests/test_detectron2_loop.py", "tests/test_schedules.py"],
    "benchmarks/engines/adaptation.py": ["tests/test_engine_changes.py"],
    "benchmarks/engines/trained.py": ["tests/test_trained.py"],
}
