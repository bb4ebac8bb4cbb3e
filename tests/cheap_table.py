"""A table whose jobs take no time and do what their model's name says: a stand-in for the runner's tests.

Its task is not of the suite: ``FLSL_TASKS=cheap_task`` brings it in, as it does anybody's own.
"""

from cheap_task import TABLE, TASKS

from benchmarks.errors import run_command
from benchmarks.tables.command import TableCommand

if __name__ == "__main__":
    run_command(TableCommand(TABLE, TASKS[0], __doc__, "python cheap_table.py", engines=("mmdet",)).run)
