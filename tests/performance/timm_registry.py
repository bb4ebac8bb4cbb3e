"""Every ViT of timm's registry against the suite: how many are equal, refused, or wrong (which must be none).

python tests/performance/timm_registry.py        # some minutes of one core; exit code 1 when one is wrong
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from timm_sweep import counted, names, outcomes


def main() -> int:
    wrong = 0
    for alone in (False, True):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = list(outcomes(Path(folder) / "x", names(), alone))
        for one in found:
            if one.verdict != "equal":
                print(f"  {one.name}: {one.verdict}: {one.detail.rpartition('.safetensors: ')[2]}")
        kind = "alone" if alone else "with config.json"
        print(f"{kind}: {len(found)} files, {dict(counted(found))}, {time.perf_counter() - start:.0f} s")
        wrong += sum(one.verdict == "wrong" for one in found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
