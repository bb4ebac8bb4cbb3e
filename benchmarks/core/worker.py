"""The process of one job: ``python -m benchmarks.core.worker OUT/LABEL/job.json``, once or once a device."""

import sys
from pathlib import Path

from benchmarks.core.runner import work_on_file
from benchmarks.errors import run_command

if __name__ == "__main__":
    run_command(lambda: work_on_file(Path(sys.argv[1])))
