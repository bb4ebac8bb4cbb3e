"""Shared fixtures."""

import torch
from sampledata import sample_data  # noqa: F401 (a fixture)

# Two test processes on two cores must not fight for them, and sums must not depend on the core count.
torch.set_num_threads(2)
