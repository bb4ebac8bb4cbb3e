"""The world on disk, in the layouts of the real data sets."""
