"""The rooms that know a detection or segmentation library, one file each; nothing else imports those libraries."""

from benchmarks.engines.mmcv_ops import provide

provide()  # before mmcv.ops is imported by anything here, or by a config that names a module of this package
