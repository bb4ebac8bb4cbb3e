"""VisDrone-DET: objects of ten classes seen from drones; the official score, and the detector of Table 3 on it."""
