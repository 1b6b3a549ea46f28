"""From shapes to a plan: axes, contraction, lowering. Knows no values and no kernels."""
