"""Where the optional real sample data is: ``$FLSL_SAMPLE_DATA``, or ``../shared/sampledata`` if that exists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "sampledata"


def sample_data_root() -> Path | None:
    """The folder with the sample data sets, or None where there is none."""
    root = Path(os.environ.get("FLSL_SAMPLE_DATA", BESIDE))
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The sample data folder; a test that wants it is skipped where there is none."""
    root = sample_data_root()
    if root is None:
        pytest.skip("needs the real sample data: set FLSL_SAMPLE_DATA to its folder")
    return root
