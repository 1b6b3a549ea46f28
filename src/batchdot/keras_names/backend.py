"""Functions of keras.backend that are not here."""

from batchdot.keras_names.answer import Answer, answers

BACKEND: list[Answer] = [
    *answers(
        "backend",
        "PyTorch has it, with the channels first",
        "Write `{}`.",
        {
            "conv1d": "torch.nn.functional.conv1d(x.mT, kernel.permute(2, 1, 0)).mT",
            "conv2d": (
                "torch.nn.functional.conv2d(x.movedim(-1, 1), kernel.permute(3, 2, 0, 1)).movedim(1, -1)"
            ),
            "conv2d_transpose": (
                "torch.nn.functional.conv_transpose2d(x.movedim(-1, 1), kernel.permute(3, 2, 0, 1))"
                ".movedim(1, -1)"
            ),
            "conv3d": (
                "torch.nn.functional.conv3d(x.movedim(-1, 1), kernel.permute(4, 3, 0, 1, 2)).movedim(1, -1)"
            ),
            "depthwise_conv2d": (
                "torch.nn.functional.conv2d(x.movedim(-1, 1), kernel.permute(2, 3, 0, 1), groups=channels)"
                ".movedim(1, -1)"
            ),
            "separable_conv2d": (
                "torch.nn.functional.conv2d(x.movedim(-1, 1), depthwise_kernel.permute(2, 3, 0, 1), "
                "groups=channels).movedim(1, -1) @ pointwise_kernel[0, 0]"
            ),
            "pool2d": "torch.nn.functional.max_pool2d(x.movedim(-1, 1), pool_size).movedim(1, -1)",
            "pool3d": "torch.nn.functional.max_pool3d(x.movedim(-1, 1), pool_size).movedim(1, -1)",
            "resize_images": (
                "torch.nn.functional.interpolate(x.movedim(-1, 1), scale_factor=factor).movedim(1, -1)"
            ),
            "resize_volumes": (
                "torch.nn.functional.interpolate(x.movedim(-1, 1), scale_factor=factor).movedim(1, -1)"
            ),
            "local_conv1d": '(torch.einsum("btk,tkf->btf", x.unfold(1, size, 1).flatten(2), kernel))',
            "local_conv2d": (
                'torch.einsum("bhwk,hwkf->bhwf", x.unfold(1, size, 1).unfold(2, size, 1).flatten(3), kernel)'
            ),
        },
    ),
    *answers(
        "backend",
        "PyTorch has it",
        "Write `{}`.",
        {
            "ctc_batch_cost": (
                "torch.nn.functional.ctc_loss(y_pred.log().transpose(0, 1), y_true, input_length, "
                'label_length, blank=classes - 1, reduction="none")'
            ),
            "ctc_decode": "torch.unique_consecutive(y_pred.argmax(-1), dim=-1)",
            "ctc_label_dense_to_sparse": "labels.to_sparse()",
            "gradients": "torch.autograd.grad(loss, variables)",
            "normalize_batch_in_training": (
                "torch.nn.functional.batch_norm(x.movedim(-1, 1), None, None, gamma, beta, training=True)"
            ),
            "result_type": "torch.promote_types(x.dtype, y.dtype)",
        },
    ),
    *answers(
        "backend",
        "it is a line of Python",
        "Write `{}`.",
        {
            "foldl": "functools.reduce(fn, elems)",
            "foldr": "functools.reduce(fn, reversed(elems))",
            "map_fn": "torch.stack([fn(x) for x in elems])",
            "rnn": "outputs = [state := step(x, state) for x in inputs.unbind(1)]",
        },
    ),
    *answers(
        "backend",
        "it belongs to TensorFlow's sessions and graphs",
        "Leave it out; `backend.clear_session()` restarts the numbers in names.",
        "experimental get_uid manual_variable_initialization reset_uids",
    ),
]
