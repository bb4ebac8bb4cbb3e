"""docs/coverage.md says what runs: every family in every benchmark is built, loaded and run once, or has a reason."""

import pytest
from coverage_page import PAGE, page, table


def test_the_page_says_what_runs(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    pytest.importorskip("mmseg.registry", reason="needs mmseg")
    found = table(tmp_path)
    assert page(found) == PAGE.read_text(encoding="utf-8"), "python tests/coverage_page.py --write docs/coverage.md"
