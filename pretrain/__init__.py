"""FLSL pretraining (NeurIPS 2023): images in, ViT checkpoint out.

Read in this order: ``objective.py`` (the loss, Eq. 13), ``meanshift.py`` (Eq. 4 and 12),
``networks.py`` (student and teacher), ``views.py`` (what they see), ``trainer.py`` (the loop).
"""
