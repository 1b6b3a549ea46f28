"""The six models as an engineer writes them in PyTorch from the Keras code, and their weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Factorization(nn.Module):
    """Ratings: the dot product of a user and a movie, and their biases."""

    def __init__(self) -> None:
        super().__init__()
        self.user_vectors = nn.Embedding(943, 32)
        self.user_biases = nn.Embedding(943, 1)
        self.movie_vectors = nn.Embedding(1682, 32)
        self.movie_biases = nn.Embedding(1682, 1)

    def forward(self, user: Tensor, movie: Tensor) -> Tensor:
        """Return ratings (B, 1) of ids (B, 1)."""
        user, movie = user.squeeze(1), movie.squeeze(1)
        match = (self.user_vectors(user) * self.movie_vectors(movie)).sum(1, keepdim=True)
        rating: Tensor = match + self.user_biases(user) + self.movie_biases(movie)
        return rating


class TwoTowers(nn.Module):
    """The cosine of a user in a context and an item."""

    def __init__(self) -> None:
        super().__init__()
        self.users = nn.Embedding(1000, 32)
        self.norm = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.query = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.items = nn.Embedding(1000, 32)
        self.candidate = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())

    def forward(self, user: Tensor, context: Tensor, item: Tensor) -> Tensor:
        """Return cosines (B, 1) of ids (B, 1), with contexts (B, 8)."""
        query = self.query(torch.cat([self.users(user.squeeze(1)), self.norm(context)], dim=1))
        candidate = self.candidate(self.items(item.squeeze(1)))
        return F.cosine_similarity(query, candidate, eps=1e-6).unsqueeze(1)


class MemoryNetwork(nn.Module):
    """An end-to-end memory network that answers a question about a story by one word."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.Embedding(22, 64)
        self.output = nn.Embedding(22, 4)
        self.question = nn.Embedding(22, 64)
        self.reader = nn.LSTM(132, 32, batch_first=True)
        self.answer = nn.Linear(32, 22)
        self.drop = nn.Dropout(0.3)

    def forward(self, story: Tensor, question: Tensor) -> Tensor:
        """Return probabilities (B, 22) of words for stories (B, 68) and questions (B, 4)."""
        asked = self.drop(self.question(question))
        match = torch.bmm(self.drop(self.memory(story)), asked.transpose(1, 2))
        response = F.softmax(match, dim=2) + self.drop(self.output(story))
        joined = torch.cat([response.transpose(1, 2), asked], dim=2)
        states, _ = self.reader(joined)
        return F.softmax(self.answer(self.drop(states[:, -1])), dim=1)


class LuongLstm(nn.Module):
    """An encoder and a decoder with Luong's dot attention."""

    def __init__(self) -> None:
        super().__init__()
        self.source_words = nn.Embedding(400, 64)
        self.encoder = nn.LSTM(64, 64, batch_first=True)
        self.target_words = nn.Embedding(400, 64)
        self.decoder = nn.LSTM(64, 64, batch_first=True)
        self.mix = nn.Linear(128, 64)
        self.word = nn.Linear(64, 400)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return probabilities (B, 20, 400) of words for sentences (B, 20)."""
        states, last = self.encoder(self.source_words(source))
        decoded, _ = self.decoder(self.target_words(target), last)
        attention = F.softmax(torch.bmm(decoded, states.transpose(1, 2)), dim=2)
        joined = torch.cat([torch.bmm(attention, states), decoded], dim=2)
        return F.softmax(self.word(torch.tanh(self.mix(joined))), dim=2)


class PointNet(nn.Module):
    """Classes of clouds of points, which a small network of its own turns first."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = nn.Sequential(*_convolved(3, 32), *_convolved(32, 64))
        self.transform_head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 9))
        self.features = nn.Sequential(*_convolved(3, 32), *_convolved(32, 64), *_convolved(64, 128))
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10))

    def forward(self, points: Tensor) -> Tensor:
        """Return probabilities (B, 10) of clouds (B, 256, 3)."""
        pooled = self.transform(points.transpose(1, 2)).amax(dim=2)
        matrix = self.transform_head(pooled).view(-1, 3, 3)
        features = self.features(torch.bmm(points, matrix).transpose(1, 2)).amax(dim=2)
        return F.softmax(self.head(features), dim=1)


def _convolved(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after, eps=1e-3, momentum=1.0), nn.ReLU()]


class ImageClassifier(nn.Module):
    """The small convolutional classifier of handwritten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(1, 32, 3)
        self.conv_2 = nn.Conv2d(32, 64, 3)
        self.drop = nn.Dropout(0.5)
        self.digit = nn.Linear(1600, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (B, 10) of images (B, 28, 28, 1)."""
        x = F.max_pool2d(F.relu(self.conv_1(images.permute(0, 3, 1, 2))), 2)
        x = F.max_pool2d(F.relu(self.conv_2(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # the order of the weights from Keras
        return F.softmax(self.digit(self.drop(x)), dim=1)


def with_weights(build: type[nn.Module], ported: nn.Module) -> nn.Module:
    """Return a hand-written module in ``eval()`` with the weights of the ported one, in order.

    Raises:
        RuntimeError: the modules have other weights.
        ValueError: one has more weights than the other.
    """
    module = build()
    keys = module.state_dict()
    module.load_state_dict(dict(zip(keys, ported.state_dict().values(), strict=True)))
    return module.eval()
