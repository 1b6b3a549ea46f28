"""Try an installed batchdot: its native kernels compute, and what they refuse is an error in Python."""

import platform

import torch

import batchdot
from batchdot.kernels.cpu.library import instructions, unavailable_reasons


def main() -> None:
    """Run the kernels, and the way of an error from them to Python."""
    assert unavailable_reasons() == [], unavailable_reasons()
    if "AVX512" in torch.backends.cpu.get_cpu_capability() and platform.machine() == "x86_64":
        assert instructions() == "avx512"
    x, y = torch.randn(1000, 128), torch.randn(1000, 128)
    for normalize in (False, True):
        result = batchdot.batch_dot(x, y, axes=1, normalize=normalize)
        lone = batchdot.batch_dot(x[:1], y[:1], axes=1, normalize=normalize)
        right = torch.nn.functional.normalize(x.double(), dim=1) if normalize else x.double()
        other = torch.nn.functional.normalize(y.double(), dim=1) if normalize else y.double()
        torch.testing.assert_close(result, (right * other).sum(1, keepdim=True).float())
        assert torch.equal(result[:1], lone)
    message = ""
    try:
        torch.ops.batchdot.row_product.values(x, y[:7], False)
    except RuntimeError as error:
        message = str(error)
    assert "batchdot: different numbers of rows" in message, message
    print(f"batchdot {batchdot.__version__}, {instructions()} kernels: {float(result[0]):.6f}")


if __name__ == "__main__":
    main()
