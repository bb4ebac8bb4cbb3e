"""Shared fixtures."""

import os

import torch
from sampledata import sample_data  # noqa: F401 (a fixture)

import benchmarks.engines  # noqa: F401 (gives mmcv its operators, which tests import before any engine)

# Two test processes on two cores must not fight for them, and sums must not depend on the core count. Commands
# that tests start inherit the number.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
torch.set_num_threads(THREADS)
os.environ["OMP_NUM_THREADS"] = str(THREADS)
