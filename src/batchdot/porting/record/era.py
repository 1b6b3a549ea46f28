"""Eras: find out which version of Keras, or of tf.keras, wrote a saved model."""

import re
from collections.abc import Callable
from dataclasses import dataclass

TF_OF_KERAS = {
    "2.1.6-tf": (1, 12), "2.2.4-tf": (2, 0), "2.2.0-tf": (1, 13), "2.3.0-tf": (2, 1), "2.4.0": (2, 4),
}  # fmt: skip
"""The version of TensorFlow behind a version of tf.keras, where the two differ."""


@dataclass(frozen=True)
class Era:
    """Which Keras wrote a file.

    Attributes:
        family: "keras1", "keras2" (with backends of its own), "tf" (tf.keras and tf_keras), "keras3".
        version: of Keras; of TensorFlow for "tf".
        text: the version as it stands in the file.
        backend: the backend named, "" where none.
        is_guess: whether the file leaves open which of several versions wrote it.
    """

    family: str
    version: tuple[int, ...]
    text: str = ""
    backend: str = ""
    is_guess: bool = False

    @classmethod
    def of(cls, text: str, backend: str, is_keras1: bool = False, config: Callable[[], str] = str) -> "Era":
        """Tell the era of a file.

        Args:
            text: its ``keras_version``, "" where there is none.
            backend: its ``backend``.
            is_keras1: whether its weights lack a version, as those of Keras 1 do.
            config: returns the config as text, whose habits tell versions of TensorFlow apart that call
                themselves the same.

        >>> Era.of("2.4.0", "tensorflow"), Era.of("3.12.0", "").family
        (Era(family='tf', version=(2, 4), text='2.4.0', backend='tensorflow', is_guess=False), 'keras3')
        """
        if re.fullmatch(r"[\w.+-]*", text, re.ASCII) is None:  # it is printed
            text = ""
        match = re.match(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", text)
        if match is None:
            return cls._without_version(text, backend, is_keras1, config())
        numbers = tuple(int(part) for part in match.groups() if part is not None)
        if numbers[0] == 1:
            return cls("keras1", numbers, text, backend)
        if numbers[0] >= 3:
            return cls("keras3", numbers, text, backend)
        if text == "2.2.4-tf":
            return cls("tf", *_tf_of_2_2_4(config(), text, backend))
        if text in TF_OF_KERAS and text != "2.4.0":
            return cls("tf", TF_OF_KERAS[text], text, backend)
        if numbers[:2] == (2, 4):
            return cls("tf", (2, 3) if "TensorFlowOpLayer" in config() else (2, 4), text, backend)
        if "-tf" in text or numbers >= (2, 4):
            return cls("tf", numbers, text, backend)
        return cls("keras2", numbers, text, backend)

    @classmethod
    def _without_version(cls, text: str, backend: str, is_keras1: bool, config: str) -> "Era":
        if is_keras1 or '"dim_ordering"' in config or '"border_mode"' in config or '"input_dtype"' in config:
            return cls("keras1", (1, 2), text, backend, is_guess=True)
        if '"keras_history"' in config or '"batch_shape"' in config:
            return cls(
                "keras3", (3, 12) if '"DTypePolicy"' in config else (3, 3), text, backend, is_guess=True
            )
        return cls("tf", (2, 15), text, backend, is_guess=True)

    def before(self, keras2: tuple[int, ...], tf: tuple[int, ...]) -> bool:
        """Whether this is older than a change that came with a version of Keras 2 and one of TensorFlow."""
        if self.family == "keras2":
            return self.version < keras2
        if self.family == "tf":
            return self.version < tf
        return self.family == "keras1"

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.family == "keras3"

    @property
    def words(self) -> str:
        """The era for people.

        >>> Era.of("2.1.6-tf", "").words
        'tf.keras 2.1.6 (TensorFlow 1.12)'
        """
        number = ".".join(map(str, self.version))
        if not self.text and self.is_guess:
            return {"keras1": "Keras 1", "keras3": "Keras 3"}.get(self.family, "Keras 2 or tf.keras")
        guess = " or one near it" if self.is_guess else ""
        if self.family != "tf":
            return f"Keras {self.text or number}{guess}"
        name = "tf_keras" if self.version >= (2, 16) else "tf.keras"
        release = self.text.removesuffix("-tf")
        if not release:
            return f"{name} {number}{guess}"
        if release.startswith(number) and not guess:
            return f"{name} {release}"
        return f"{name} {release} (TensorFlow {number}{guess})"


def _tf_of_2_2_4(config: str, text: str, backend: str) -> tuple[tuple[int, ...], str, str, bool]:
    """Tell TensorFlow 1.13, 1.14, 1.15 and 2.0 apart, all of which write "2.2.4-tf".

    Initializers carry a dtype up to 1.15; 1.13 says BatchNormalizationV1 and knows no "ragged" inputs.
    """
    initializers = re.findall(r'_initializer": ?\{"class_name": ?"\w+", ?"config": ?\{([^}]*)\}', config)
    if "BatchNormalizationV1" in config:
        return (1, 13), text, backend, False
    first = (1, 15) if '"ragged"' in config else (1, 13)
    if not initializers:  # 1.15 and 2.0 write the same; there are more files of the former
        return first, text, backend, first == (1, 15)
    if any('"dtype"' in arguments for arguments in initializers):
        return first, text, backend, False
    return (2, 0), text, backend, False
