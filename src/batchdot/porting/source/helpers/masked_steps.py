"""Recurrent layers on sequences with masked steps: these keep state and output.

To leave out masked steps is to run over the others alone. So steps that count are
moved to the front of their row, in order; the layer runs over all rows at once, without
a loop or a copy to the host; and every step takes the output of the last one that
counted. What the layer computes behind them is not used. That serves every mask, not
only those that pad at the right, and rows in which no step counts. A packed sequence is
needed only for the cell state behind the last step: nn.LSTM returns no other one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def skip_masked(
    rnn: nn.Module,
    x: Tensor,
    mask: Tensor,
    state: Tensor | tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Run over the steps that count; the others repeat the last output, at first 0."""
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    order = mask.logical_not().int().argsort(dim=1, stable=True)
    y = rnn(x[rows, order], state)[0]
    y = torch.cat([torch.zeros_like(y[:, :1]), y], dim=1)
    return y[rows, mask.cumsum(1)]


def pack_masked(
    lstm: nn.Module,
    x: Tensor,
    mask: Tensor,
    state: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Skip masked steps, and return the states behind the last that counts too."""
    if len(x) == 0:
        return lstm(x, state)
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    order = mask.logical_not().int().argsort(dim=1, stable=True)
    lengths = mask.sum(1)
    packed = pack_padded_sequence(
        x[rows, order], lengths.clamp(min=1).cpu(), True, enforce_sorted=False
    )
    packed, (h, c) = lstm(packed, state)
    y, _ = pad_packed_sequence(packed, True, total_length=x.shape[1])
    y = F.pad(y, (0, 0, 1, 0))[rows, mask.cumsum(1)]
    first_h, first_c = state or (torch.zeros_like(h), torch.zeros_like(c))
    some = lengths[:, None] > 0
    return y, (torch.where(some, h, first_h), torch.where(some, c, first_c))


def step_masked(
    rnn: nn.Module,
    x: Tensor,
    mask: Tensor,
    state: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run step by step; a masked one keeps both states and repeats the output."""
    y = torch.zeros_like(rnn(x[:, :1], state)[0][:, 0])
    h, c = state or (y, y)
    outputs = []
    for step, counts in zip(x.split(1, dim=1), mask.unbind(1), strict=True):
        new_y, (new_h, new_c) = rnn(step, (h, c))
        counts = counts.view(-1, *[1] * (y.dim() - 1))
        y = torch.where(counts, new_y[:, 0], y)
        h, c = torch.where(counts, new_h, h), torch.where(counts, new_c, c)
        outputs.append(y)
    return torch.stack(outputs, dim=1), (h, c)
