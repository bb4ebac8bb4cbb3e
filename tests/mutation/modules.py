"""Which tests judge which module: the fast ones that are about it."""

VIEWS = ["tests/test_pretrain_views.py", "tests/test_chance.py"]
OBJECTIVE = ["tests/test_pretrain_objective.py", "tests/test_pretrain_replay.py"]
ENGINES = ["tests/test_mmdet_backbone.py", "tests/test_vitdet.py"]

TESTS: dict[str, list[str]] = {
    "pretrain/schedules.py": ["tests/test_schedules.py"],
    "pretrain/views.py": VIEWS,
    "pretrain/augment.py": VIEWS,
    "pretrain/augment_batch.py": VIEWS,
    "pretrain/data.py": VIEWS,
    "pretrain/meanshift.py": [*OBJECTIVE, "tests/test_pretrain_places.py"],
    "pretrain/objective.py": OBJECTIVE,
    "pretrain/step.py": [*OBJECTIVE, "tests/test_pretrain_control.py", "tests/test_pretrain_places.py"],
    "benchmarks/knn/vote.py": ["tests/test_knn.py", "tests/test_knn_run.py"],
    "benchmarks/knn/geometry.py": ["tests/test_knn.py"],
    "benchmarks/uavdt/scoring.py": ["tests/test_uavdt_scoring.py"],
    "benchmarks/davis/propagation.py": ["tests/test_davis_propagation.py"],
    "benchmarks/davis/scoring.py": ["tests/test_davis_rules.py", "tests/test_davis.py"],
    "benchmarks/engines/schedule.py": ["tests/test_schedules.py", "tests/test_coco_recipe.py"],
    "benchmarks/engines/chance.py": ["tests/test_chance.py"],
    "benchmarks/engines/mmdet.py": ["tests/test_schedules.py", "tests/test_vitdet.py"],
    "benchmarks/engines/mmdet_replay.py": ["tests/test_chance.py"],
    "benchmarks/engines/mmdet_backbone.py": ENGINES,
    "benchmarks/engines/detectron2.py": ["tests/test_schedules.py", "tests/test_chance.py"],
    "benchmarks/core/bootstrap.py": ["tests/test_tables.py"],
}
