"""The gallery of dot products: its page, its pictures, and the table of README.

``python -m tests.support.documents.dots`` writes docs/dots.md, docs/images/dots and README's table anew.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support import ROOT

from batchdot import explain

PAGE = ROOT / "docs" / "dots.md"
README = ROOT / "README.md"
PICTURES = ROOT / "docs" / "images" / "dots"
TABLE = re.compile(r"^\| shapes \|.*\n(?:\|.*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Pattern:
    """A dot product as people use it.

    Attributes:
        title: its name.
        shapes: of x and of y, in letters.
        name: what README calls it after the shapes; empty if the shapes say enough.
        keras: the line in Keras.
        ours: the line here.
        plain: the line in plain PyTorch.
        sizes: example shapes of x and of y, which the picture has.
        explain: the arguments of `explain`; None where no axis is shared between samples.
        where: who computes this.
        cost: what it costs, and which code runs.
        remark: which Keras the line needs; with one, the line is not run by TensorFlow 2.
        in_readme: whether README's table has it.
    """

    title: str
    shapes: tuple[str, str]
    name: str
    keras: str
    ours: str
    plain: str
    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    explain: dict[str, Any] | None
    where: str
    cost: str
    remark: str = ""
    in_readme: bool = True

    @property
    def slug(self) -> str:
        """The name of the picture."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower().replace("ᵀ", "t")).strip("-")

    @property
    def anchor(self) -> str:
        """The anchor of the heading, as GitHub and MyST make it."""
        return re.sub(r"[^\w -]", "", self.title.lower()).replace(" ", "-")

    @property
    def row(self) -> str:
        """The row of README's table."""
        same = self.name == "the same, cosine"
        shapes = "" if same else " ".join(f"`({shape})`" for shape in self.shapes)
        first = self.name if same else f"{shapes}, {self.name}" if self.name else shapes
        return f"| {first} | `{self.keras}`{self.remark} | `{self.ours}` | `{self.plain}` |"


NATIVE = "The native kernel reads each number once"

PATTERNS = (
    Pattern(
        "Row dot",
        ("B,d", "B,d"),
        "row dot",
        "Dot(1)([x, y])",
        "Dot(1)([x, y])",
        "(x * y).sum(1, keepdim=True)",
        ((32, 128), (32, 128)),
        {"axes": 1},
        "Matrix factorization, two towers: a score for each pair of a user and an item. In Keras code also "
        "`axes=-1` and `axes=(1, 1)`.",
        f"{NATIVE}, and is limited by memory: 2·B·d numbers. Small batches cost what a call costs.",
    ),
    Pattern(
        "Row cosine",
        ("B,d", "B,d"),
        "the same, cosine",
        "Dot(1, normalize=True)([x, y])",
        "Dot(1, normalize=True)([x, y])",
        "F.cosine_similarity(x, y).unsqueeze(1)",
        ((32, 128), (32, 128)),
        {"axes": 1, "normalize": True},
        "Two towers, DSSM, Siamese networks, recommendation of news.",
        f"{NATIVE}, so that a cosine takes as long as a row dot. `F.cosine_similarity` goes over the "
        "memory several times.",
    ),
    Pattern(
        "Row dot with an axis of 1",
        ("B,1,d", "B,1,d"),
        "",
        "Dot(2)([x, y])",
        "Dot(2)([x, y])",
        "(x * y).sum(2, keepdim=True)",
        ((32, 1, 128), (32, 1, 128)),
        {"axes": 2},
        "Matrix factorization whose embeddings of one id are not flattened: the result is `(B,1,1)`.",
        "As the row dot: the axes of 1 are views.",
        in_readme=False,
    ),
    Pattern(
        "Q Kᵀ",
        ("B,m,d", "B,n,d"),
        "Q Kᵀ",
        "Dot((2, 2))([x, y])",
        "Dot((2, 2))([x, y])",
        "x @ y.mT",
        ((32, 10, 64), (32, 12, 64)),
        {"axes": 2},
        "Scores of attention, memory networks, interactions of the words of two texts.",
        "PyTorch's product of matrices, B·m·n·d multiply-adds. Nothing is copied.",
    ),
    Pattern(
        "Cosine matrix",
        ("B,m,d", "B,n,d"),
        "",
        "Dot(2, normalize=True)([x, y])",
        "Dot(2, normalize=True)([x, y])",
        "F.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=3)",
        ((32, 10, 64), (32, 12, 64)),
        {"axes": 2, "normalize": True},
        "Every row with every row: MatchZoo's matching of texts, nearest neighbours, contrastive losses.",
        "PyTorch's product of matrices, and one pass over its result and the rows; "
        "`F.cosine_similarity` holds B·m·n·d numbers.",
        in_readme=False,
    ),
    Pattern(
        "Matrix product",
        ("B,m,k", "B,k,n"),
        "matrix product",
        "K.batch_dot(x, y)",
        "batch_dot(x, y)",
        "x @ y",
        ((64, 30, 40), (64, 40, 128)),
        {"axes": None},
        "Attention's weights times values, PointNet's transforms. In Keras code also `axes=(2, 1)`.",
        "PyTorch's product of matrices, B·m·k·n multiply-adds. Nothing is copied.",
    ),
    Pattern(
        "Weighted sum over time",
        ("B,k,m", "B,k,n"),
        "weighted sum over time",
        "dot([x, y], axes=1)",
        "batch_dot(x, y, 1)",
        "x.mT @ y",
        ((64, 30, 1), (64, 30, 128)),
        {"axes": 1},
        "One step of attention: m is 1, x has the weights of k steps and y their states.",
        "PyTorch's product of matrices; x is transposed as a view.",
    ),
    Pattern(
        "Matrix times vector",
        ("B,m,k", "B,k"),
        "matrix times vector",
        "K.batch_dot(x, y, (2, 1))",
        "batch_dot(x, y, (2, 1))",
        "torch.einsum('bmk,bk->bm', x, y)",
        ((32, 100, 64), (32, 64)),
        {"axes": (2, 1)},
        "Candidates of a recommender against one user, Luong's attention with a state.",
        f"{NATIVE} where k is the contiguous axis: B·m·k numbers. Otherwise it is PyTorch's product.",
    ),
    Pattern(
        "Higher ranks",
        ("B,h,w,k", "B,k,u,v"),
        "",
        "Dot((3, 1))([x, y])",
        "Dot((3, 1))([x, y])",
        "torch.einsum('bhwk,bkuv->bhwuv', x, y)",
        ((16, 16, 12, 64), (16, 64, 8, 6)),
        {"axes": (3, 1)},
        "Any rank: the axes of x without the summed one, then those of y.",
        "One product of matrices of h·w by k by u·v, on views where strides allow.",
    ),
    Pattern(
        "Word2vec",
        ("B,c,j,d", "B,j,d"),
        "",
        "Dot((3, 2))([x, y])",
        "Dot((3, 2))([x, y])",
        "torch.einsum('bcjd,bid->bcji', x, y)",
        ((1024, 5, 1, 128), (1024, 1, 128)),
        {"axes": (3, 2)},
        "TensorFlow's tutorial on word2vec: c contexts against one target, j is 1.",
        "With j of 1 it is a matrix times a vector, by the native kernel: B·c·d numbers.",
        in_readme=False,
    ),
    Pattern(
        "Per timestep",
        ("B,T,d", "B,T,d"),
        "per timestep",
        "K.sum(x * y, axis=2)",
        "batch_dot(x, y, 2, batch_dims=2)",
        "(x * y).sum(2)",
        ((32, 20, 64), (32, 20, 64)),
        {"axes": 2, "batch_dims": 2},
        "A score for each step. `Dot(2)` would be Q Kᵀ: every step with every step.",
        f"{NATIVE}: B·T row dots.",
    ),
    Pattern(
        "Capsules",
        ("B,c,k", "B,c,k,j"),
        "capsules",
        "K.batch_dot(x, y, (2, 2))",
        "batch_dot(x, y, 2, batch_dims=2)",
        "torch.einsum('bck,bckj->bcj', x, y)",
        ((16, 10, 1152), (16, 10, 1152, 16)),
        {"axes": 2, "batch_dims": 2},
        "Capsule networks, written when all leading axes were shared: Keras before 2.2.5, TensorFlow 1.",
        "B·c products of a vector and a matrix, by PyTorch. Nothing is copied.",
        remark=", before TF 2",
    ),
    Pattern(
        "K.dot",
        ("n,k", "m,k,p"),
        "",
        "K.dot(x, y)",
        "dot(x, y)",
        "torch.einsum('nk,mkp->nmp', x, y)",
        ((20, 64), (8, 64, 16)),
        None,
        "A weight with every sample: the last axis of x with the second-to-last of y. No axis is shared.",
        "One product of matrices; x may be sparse (COO or CSR).",
    ),
)


def table() -> str:
    """Return README's table."""
    head = "| shapes | Keras | batchdot | plain PyTorch |\n|---|---|---|---|\n"
    return head + "".join(f"{pattern.row}\n" for pattern in PATTERNS if pattern.in_readme)


def pictures() -> Iterator[tuple[str, str]]:
    """Yield the names of pictures and what is drawn in each."""
    for pattern in PATTERNS:
        if pattern.explain is not None:
            yield f"{pattern.slug}.svg", explain(*pattern.sizes, **pattern.explain).to_svg()


HEAD = """\
# Which dot do I have?

<!-- Written by python -m tests.support.documents.dots. -->

The dot products that people write with Keras, found in public code. Each has its picture, drawn by
[`explain`](semantics.md), the line in Keras, the line here and the line in plain PyTorch, which all compute
the same. Tests run them, Keras's too but for capsules, which need an old one. `B` is the batch.

| you have | it is |
|---|---|
"""


def page() -> str:
    """Return the text of the gallery."""
    index = "".join(
        f"| `({pattern.shapes[0]})` `({pattern.shapes[1]})`, `{pattern.keras}` "
        f"| [{pattern.title}](#{pattern.anchor}) |\n"
        for pattern in PATTERNS
    )
    return HEAD + index + "".join(map(_section, PATTERNS))


def _section(pattern: Pattern) -> str:
    x, y = (f"`({shape})`" for shape in pattern.shapes)
    lines = [f"\n## {pattern.title}\n", f"{x} with {y}. {pattern.where}\n"]
    if pattern.explain is not None:
        explanation = explain(*pattern.sizes, **pattern.explain)
        about = f"{explanation.einsum}: the result is {explanation.output_shape}."
        lines.append(f"![{about}](images/dots/{pattern.slug}.svg)\n")
    lines += [
        "| | |",
        "|---|---|",
        f"| Keras{pattern.remark} | `{pattern.keras}` |",
        f"| batchdot | `{pattern.ours}` |",
        f"| PyTorch | `{pattern.plain}` |",
        f"| costs | {pattern.cost} |",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(
        TABLE.sub(lambda _: table(), README.read_text(encoding="utf-8"), count=1), encoding="utf-8"
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures():
        (PICTURES / name).write_text(text, encoding="utf-8")
