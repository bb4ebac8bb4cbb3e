"""FLSL pretraining (NeurIPS 2023): images in, ViT checkpoint out.

Read in this order: ``objective.py`` (the loss, Eq. 13), ``meanshift.py`` (Eq. 4 and 12), ``networks.py`` (student and
teacher), ``step.py`` (one training step), ``views.py`` and ``augment.py`` (what they see), ``trainer.py`` (the loop).
Around them: ``data.py`` and ``images.py`` (files to batches), ``schedules.py``, ``distributed.py``, ``snapshot.py`` and
``signals.py`` (never losing work), ``log.py``, ``watch.py`` and ``pictures.py`` (sight), ``previous_stage.py``,
``export.py`` (what is handed over), ``sweep.py`` (several runs), ``config.py``. How to use it: ``docs/pretraining.md``.
"""
