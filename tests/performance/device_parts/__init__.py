"""The parts of ``tests/performance/device.py``: each a generator of rows, run in a process of its own."""
