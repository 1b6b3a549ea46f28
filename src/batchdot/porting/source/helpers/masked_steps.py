"""Recurrent layers on sequences with masked steps, which keep the state and repeat the last output.

To leave out masked steps is to run over the others alone. So steps that count are moved to the front of
their row, in order; the layer runs over all rows at once, with neither a loop nor a synchronization; and
every step takes the output of the last one that counted. What the layer computes behind them is not used.
That serves every mask, not only those that pad at the right, and rows without a step that counts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def skip_masked(rnn: nn.Module, x: Tensor, mask: Tensor, state=None) -> Tensor:
    """Run over the steps that count; the others repeat the last output, at first 0."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    order = mask.logical_not().int().argsort(dim=1, stable=True)
    y = rnn(x[rows, order], state)[0]
    y = torch.cat([torch.zeros_like(y[:, :1]), y], dim=1)
    return y[rows, mask.cumsum(1)]


def pack_masked(lstm: nn.Module, x: Tensor, mask: Tensor, state=None):
    """Run an nn.LSTM over the steps that count, for the cell state behind the last."""
    rows = torch.arange(len(x), device=x.device)[:, None]
    order = mask.logical_not().int().argsort(dim=1, stable=True)
    lengths = mask.sum(1)
    packed, states = lstm(
        nn.utils.rnn.pack_padded_sequence(
            x[rows, order],
            lengths.clamp(min=1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        ),
        state,
    )
    y, _ = nn.utils.rnn.pad_packed_sequence(
        packed, batch_first=True, total_length=x.shape[1]
    )
    y = F.pad(y, (0, 0, 1, 0))[rows, mask.cumsum(1)]
    begin = state or (torch.zeros_like(states[0]),) * 2
    some = lengths[:, None] > 0
    return y, tuple(torch.where(some, *pair) for pair in zip(states, begin))


def step_masked(rnn: nn.Module, x: Tensor, mask: Tensor, state=None):
    """Run step by step, for all states behind the last step that counts."""
    outputs = []
    y = None
    for step, keep in zip(x.split(1, dim=1), mask.unbind(1)):
        new_y, new = rnn(step, state)
        keep = keep.view(-1, *[1] * (x.dim() - 2))
        y = torch.where(keep, new_y[:, 0], 0 if y is None else y)
        state = state or tuple(map(torch.zeros_like, new))
        state = tuple(torch.where(keep, *pair) for pair in zip(new, state))
        outputs.append(y)
    return torch.stack(outputs, dim=1), state
