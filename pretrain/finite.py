"""Is a step's loss a number, and its gradient? Else the run ends, before it reaches the weights."""

from __future__ import annotations

import math

from pretrain.objective import Losses

#: Steps in a row that fp16's scaler may leave out: so many halvings bring its first scale below 0.01.
LEFT_OUT = 25


class Finite:
    """Watches one run. ``scaled``: an infinite gradient is the scaler's business, which leaves the step out."""

    def __init__(self, scaled: bool) -> None:
        self.scaled = scaled
        self.left_out = 0  # steps in a row

    def refuses(self, losses: Losses, total: float, norm: float) -> str | None:
        """What is wrong with a step of this ``total`` and gradient's ``norm``, in words; None where it may count.

        Reads ``losses``, and so waits for the device, only where something is wrong.
        """
        skipped = self.scaled and math.isfinite(total) and not math.isfinite(norm)
        self.left_out = self.left_out + 1 if skipped else 0
        if math.isfinite(total) and (math.isfinite(norm) or (skipped and self.left_out < LEFT_OUT)):
            return None
        often = f", for the {self.left_out}th time in a row" if self.left_out else ""
        return (
            f"the loss is {total:.4g} (intra {losses.intra.item():.4g}, inter {losses.inter.item():.4g}, volume "
            f"{losses.volume.item():.4g}), the gradient's norm {norm:.4g}{often}"
        )
