"""Figures 3 and 4 of the paper and the numbers beside them: what the tokens of a checkpoint do on given images."""
