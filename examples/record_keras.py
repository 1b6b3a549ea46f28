"""Record outputs of Keras for a subset of the digits in keras_outputs.npy. See DIGITS.md.

Needs the extra `test-keras`: tf_keras on TensorFlow, and keras on PyTorch.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "torch"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tf_keras

from batchdot.cli.demo import KERAS_OTHERS, KERAS_QUERIES, load_digits


def main() -> None:
    """Write the file beside this script."""
    digits = load_digits()
    x = digits.held_out[None, KERAS_QUERIES].astype(np.float32)
    y = digits.others[None, KERAS_OTHERS].astype(np.float32)
    outputs = [
        [_to_numpy(engine.layers.Dot(axes=2, normalize=normalize)([x, y]))[0] for normalize in (False, True)]
        for engine in (tf_keras, keras)
    ]
    np.save(Path(__file__).parent / "keras_outputs.npy", np.array(outputs, np.float32))
    print(f"tf_keras {tf_keras.__version__}, keras {keras.__version__} on {keras.backend.backend()}")


def _to_numpy(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor.numpy()


if __name__ == "__main__":
    main()
