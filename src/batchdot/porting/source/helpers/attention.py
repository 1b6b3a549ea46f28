"""Attention with the masks of Keras, and with weights of the shapes that Keras has."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mask_bias(mask: Tensor, like: Tensor) -> Tensor:
    """Return what to add to scores: 0 where a mask is True, else a very low number."""
    low = torch.finfo(like.dtype).min / 2
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, low)


def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """Return a mask (T, S) that hides later steps of the key from each step."""
    shape = query.shape[-2], key.shape[-2]
    return torch.ones(shape, dtype=torch.bool, device=query.device).tril()


class Heads(nn.Module):
    """Projections to heads and back; several heads may share a key and a value."""

    def __init__(
        self,
        heads: int,
        query: nn.Linear,
        key: nn.Linear,
        value: nn.Linear,
        output: nn.Linear,
        sharing: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.sharing, self.dropout = heads, sharing, dropout
        self.query, self.key, self.value, self.output = query, key, value, output

    def split(
        self, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return query (B, H, T, K), key (B, H, S, K) and value (B, H, S, V)."""
        pairs = self.heads // self.sharing
        q = self.query(query).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
        k = self.key(key).unflatten(-1, (pairs, -1)).transpose(-3, -2)
        v = self.value(value).unflatten(-1, (pairs, -1)).transpose(-3, -2)
        if self.sharing > 1:
            k = k.repeat_interleave(self.sharing, -3)
            v = v.repeat_interleave(self.sharing, -3)
        return q, k, v

    def join(self, heads: Tensor) -> Tensor:
        """Return the output (B, T, O) of heads (B, H, T, V)."""
        return self.output(heads.transpose(-3, -2).flatten(-2))


class MultiHeadAttention(Heads):
    """Attention of several heads."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        zero_hidden: bool = False,
    ) -> Tensor:
        """Attend; what sees nothing gets 0 if it is to, else the mean of all."""
        q, k, v = self.split(query, key, value)
        bias = None if mask is None else mask_bias(mask, q).unsqueeze(-3)
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(q, k, v, bias, dropout, is_causal)
        if zero_hidden and mask is not None:
            heads = heads * mask.any(-1, keepdim=True).unsqueeze(-3)
        return self.join(heads)


class MultiHeadAttentionWithScores(Heads):
    """Attention of several heads that returns the weights (B, H, T, S) too."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        is_causal: bool = False,
        zero_hidden: bool = False,
    ) -> tuple[Tensor, Tensor]:
        q, k, v = self.split(query, key, value)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if is_causal:
            mask = causal_mask(query, key)
        if mask is not None:
            scores = scores + mask_bias(mask, scores).unsqueeze(-3)
        weights = torch.softmax(scores, dim=-1)
        if zero_hidden and mask is not None:
            weights = weights * mask.unsqueeze(-3)
        return self.join(F.dropout(weights, self.dropout, self.training) @ v), weights
