"""Published fine-tuned detectors and segmenters, scored by this suite's own pipeline: a second opinion on a number."""
