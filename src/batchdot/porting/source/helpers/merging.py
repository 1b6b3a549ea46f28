"""Products that Keras had and torch has not."""

from torch import Tensor


def quotient_of_products(xy: Tensor, xx: Tensor, yy: Tensor) -> Tensor:
    """Divide x·y by the roots of x·x and y·y, as Keras 1's cosine did."""
    return (xy / (xx * yy).clamp(min=1e-14).sqrt()).unsqueeze(1)
