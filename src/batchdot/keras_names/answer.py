"""Answer: what to tell somebody who looks for a name of Keras."""

from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """Why a name of Keras is not here, and what to write instead.

    Attributes:
        name: The name with its place, such as ``layers.LSTM``.
        why: A clause.
        instead: A sentence with code between backticks.

    >>> print(Answer("layers.LSTM", "PyTorch has it", "Write `torch.nn.LSTM(8, 16)`."))
    batchdot has no layers.LSTM: PyTorch has it. Write `torch.nn.LSTM(8, 16)`.
    """

    name: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"batchdot has no {self.name}: {self.why}. {self.instead}"


def answers(place: str, why: str, sentence: str, names: Mapping[str, str] | str) -> list[Answer]:
    """Return an answer for each of several names.

    Args:
        place: The module of the names; empty for names at the top of Keras.
        why: A clause.
        sentence: What to write, with ``{}`` in the place of the code.
        names: The code for each name; or the names in a text, if the sentence has no ``{}``.

    >>> answers("losses", "PyTorch has it", "Write `{}`.", {"Huber": "torch.nn.HuberLoss()"})[0].instead
    'Write `torch.nn.HuberLoss()`.'
    """
    codes = dict.fromkeys(names.split(), "") if isinstance(names, str) else names
    start = f"{place}." if place else ""
    return [Answer(f"{start}{name}", why, sentence.replace("{}", code)) for name, code in codes.items()]


def each_rank(name: str, code: str, ranks: tuple[int, ...] = (1, 2, 3)) -> dict[str, str]:
    """Return the code for the names of one layer for sequences, images and volumes, with ``N`` for the rank.

    >>> each_rank("ConvND", "torch.nn.ConvNd(8, 16, 3)", (1, 2))
    {'Conv1D': 'torch.nn.Conv1d(8, 16, 3)', 'Conv2D': 'torch.nn.Conv2d(8, 16, 3)'}
    """
    return {name.replace("ND", f"{rank}D"): code.replace("Nd(", f"{rank}d(") for rank in ranks}
