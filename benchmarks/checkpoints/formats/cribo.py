"""CrIBo (tileb1/CrIBo): a DINO training file with queues."""

from __future__ import annotations

from benchmarks.checkpoints.formats.dino import HEAD
from benchmarks.checkpoints.formats.family import Family, table


class Cribo(Family):
    method, licence, rank = "CrIBo", "Apache-2.0 (CrIBo)", 25
    needs = ("centroids_queue_cpu", "cpv_queue_cpu")
    drops = HEAD
    heads_by_width = table({192: 3, 384: 6, 768: 12})


FAMILIES = (Cribo(),)
