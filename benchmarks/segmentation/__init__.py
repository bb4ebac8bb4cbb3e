"""Frozen segmentation: one label a pixel from features that nothing trains, under the protocols that papers use."""
