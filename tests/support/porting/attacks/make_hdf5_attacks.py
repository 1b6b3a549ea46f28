"""Write the files of hdf5/, by h5py and a few changed bytes. Run it by hand where h5py is installed."""

from pathlib import Path

import h5py
import numpy as np
from tests.support.porting.attacks.json_attacks import layer, model

FOLDER = Path(__file__).parent / "hdf5"


def weights(name, make, layer="a", named=("a/kernel:0",), **options):
    path = FOLDER / f"{name}.h5"
    with h5py.File(path, "w", **options) as file:
        file.attrs["layer_names"] = np.array([layer.encode()])
        group = file.create_group(layer)
        group.attrs["weight_names"] = np.array([one.encode() for one in named])
        make(file, group)
    return path


def kernel(group, **options):
    return group.create_dataset("a/kernel:0", data=np.arange(600, dtype="f4").reshape(20, 30), **options)


def patched(name, old, new, make=lambda file, group: kernel(group), count=1, **options):
    path = weights(name, make, **options)
    data = path.read_bytes()
    assert data.count(old) >= 1, (name, old)
    path.write_bytes(data.replace(old, new, count))


def main():
    FOLDER.mkdir(exist_ok=True)
    weights("honest", lambda file, group: kernel(group))
    weights("external_link", lambda f, g: g.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/x")))
    weights("soft_link", lambda f, g: (kernel(f), g.__setitem__("a", h5py.SoftLink("/a"))))
    weights("soft_link_to_itself", lambda f, g: g.__setitem__("a", h5py.SoftLink("/a/a")))
    weights("hard_link_cycle", lambda f, g: (kernel(g), g.__setitem__("loop", f["/"])))
    weights("two_names_for_one_array", lambda f, g: (kernel(g), f.__setitem__("b", g["a/kernel:0"])))
    weights(
        "external_storage",
        lambda f, g: g.create_dataset("a/kernel:0", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
    )

    def virtual(file, group):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
        group.create_virtual_dataset("a/kernel:0", layout)

    weights("virtual_dataset", virtual, libver="latest")
    weights("references", lambda f, g: g.create_dataset("a/kernel:0", data=np.array([f.ref], h5py.ref_dtype)))
    weights(
        "compound", lambda f, g: g.create_dataset("a/kernel:0", data=np.zeros(3, [("a", "f4"), ("b", "i4")]))
    )
    weights("sequences", lambda f, g: g.create_dataset("a/kernel:0", (2,), h5py.vlen_dtype("f4")))
    weights("text", lambda f, g: g.create_dataset("a/kernel:0", data=["a", "b"]))
    weights("complex_numbers", lambda f, g: g.create_dataset("a/kernel:0", data=np.zeros(3, "c8")))
    weights(
        "enumeration",
        lambda f, g: g.create_dataset("a/kernel:0", (3,), h5py.enum_dtype({"A": 5, "B": 6}, "i1")),
    )
    weights("lzf", lambda f, g: kernel(g, compression="lzf"))
    weights("fletcher32", lambda f, g: kernel(g, fletcher32=True))
    weights("scale_offset", lambda f, g: kernel(g, scaleoffset=2))
    weights("never_written", lambda f, g: g.create_dataset("a/kernel:0", (2**20, 2**10), "f4"))
    weights(
        "chunks_of_petabytes",
        lambda f, g: g.create_dataset("a/kernel:0", (2**24, 2**24), "f4", chunks=(64, 64)),
    )
    weights("longer_than_any_axis", lambda f, g: g.create_dataset("a/kernel:0", (2**40,), "f4", chunks=(64,)))
    weights(
        "zeros_thousandfold",
        lambda f, g: g.create_dataset(
            "a/kernel:0",
            data=np.zeros((4000, 4000), "f4"),
            chunks=(4000, 4000),
            compression="gzip",
            compression_opts=9,
        ),
    )
    weights("missing_array", lambda f, g: None)
    weights("array_that_is_not_named", lambda f, g: (kernel(g), f.create_dataset("b", data=np.zeros(3))))
    weights("named_twice", lambda f, g: kernel(g), named=("a/kernel:0", "a/kernel:0"))
    weights("name_that_climbs", lambda f, g: kernel(g), named=("../a/a/kernel:0",))
    shape = (20).to_bytes(8, "little") + (30).to_bytes(8, "little")
    patched("shape_of_petabytes", shape, (2**25).to_bytes(8, "little") * 2, count=2)
    patched("shape_that_overflows", shape, (2**63).to_bytes(8, "little") * 2, count=2)
    patched("shape_larger_than_its_bytes", shape, (21).to_bytes(8, "little") + shape[8:], count=2)
    patched("group_tree_that_loops", b"TREE\0\0", b"TREE\0\1", count=9)
    patched("not_a_superblock", b"\x89HDF\r\n\x1a\n\0", b"\x89HDF\r\n\x1a\n\7")
    honest = (FOLDER / "honest.h5").read_bytes()
    (FOLDER / "truncated.h5").write_bytes(honest[:-1000])
    (FOLDER / "only_a_signature.h5").write_bytes(honest[:8])
    (FOLDER / "half_a_superblock.h5").write_bytes(honest[:40])
    with h5py.File(FOLDER / "config_that_is_a_number.h5", "w") as file:
        file.attrs["model_config"] = 3
    with h5py.File(FOLDER / "config_that_is_no_json.h5", "w") as file:
        file.attrs["model_config"] = "{'class_name': __import__('os')}"
    with h5py.File(FOLDER / "something_else.h5", "w") as file:
        file["data"] = np.zeros(3)
    with h5py.File(FOLDER / "layer_names_that_are_numbers.h5", "w") as file:
        file.attrs["layer_names"] = np.arange(3)
    with h5py.File(FOLDER / "variables_with_gaps.h5", "w") as file:
        file["layers/dense/vars/1"] = np.zeros(3, "f4")
    with h5py.File(FOLDER / "variables_with_odd_numbers.h5", "w") as file:
        file["layers/dense/vars/01"] = np.zeros(3, "f4")
    with h5py.File(FOLDER / "deep_groups.h5", "w") as file:
        group = file.create_group("layers")
        for _ in range(900):
            group = group.create_group("layers")
    text_named_many_times()
    whole_models()
    with h5py.File(FOLDER / "long_paths.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = np.zeros(0)
        group = file
        for letter in "abcd":
            group = group.create_group(letter * 1000)
        for number in range(4500):
            group.create_group(str(number))


def whole(name, entry, arrays, version, **options):
    """Write a whole model of one layer behind the input."""
    with h5py.File(FOLDER / f"{name}.h5", "w") as file:
        file.attrs["model_config"] = model(entry, version=version)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([entry["name"].encode()])
        if version[0] != "1":
            group.attrs["keras_version"] = version
        group = group.create_group(entry["name"])
        group.attrs["weight_names"] = np.array([weight.encode() for weight, _ in arrays])
        for weight, array in arrays:
            group.create_dataset(weight, data=array, **options)


def zeros(**shapes):
    """Return arrays of a layer d by their names."""
    return [(f"d/{name}", np.zeros(shape, "f4")) for name, shape in shapes.items()]


def whole_models():
    adapted = layer("Dense", "d", "x", units=4, lora_rank=2)
    factors = {"bias": 4, "lora_kernel_a": (3, 2), "lora_kernel_b": (5, 4), "kernel": (4, 4)}
    whole("factors_of_other_shapes", adapted, zeros(**factors), "3.5.0")
    factors |= {"lora_kernel_a": (20_000, 1), "lora_kernel_b": (1, 20_000)}
    whole("factors_of_a_product_of_gigabytes", adapted, zeros(**factors), "3.5.0")

    lstm = layer("LSTM", "d", "x", output_dim=3, inner_activation="hard_sigmoid", activation="tanh")
    sizes = {"W": (4, 3), "U": (3, 3), "b": (3,)}
    gates = [(f"d_{part}_{gate}:0", np.zeros(size, "f4")) for gate in "icfo" for part, size in sizes.items()]
    whole("gates_that_are_scalars", lstm, [(name, np.float32(0)) for name, _ in gates], "1.2.2")
    odd = (gates[3][0], np.zeros((7, 3), "f4"))
    whole("gates_of_other_shapes", lstm, [*gates[:3], odd, *gates[4:]], "1.2.2")
    conv = layer("Convolution1D", "d", "x", nb_filter=2, filter_length=3, bias=False)
    whole("kernel_of_no_layout", conv, [("d_W:0", np.zeros((2, 4, 3, 2), "f4"))], "1.2.2")

    whole("weights_of_a_layer_that_has_none", layer("ReLU", "d", "x"), zeros(kernel=(4, 4)), "2.15.0")
    norm = layer("BatchNormalization", "d", "x", axis=[1])
    four = zeros(gamma=7, beta=7, moving_mean=7, moving_variance=7)
    whole("weights_of_another_size_than_their_axis", norm, four, "2.15.0")
    other = zeros(gamma=4, beta=4, moving_mean=4, moving_variance=5)
    whole("weights_of_different_sizes", norm, other, "2.15.0")
    einsum = {"equation": "ab,bc->ac", "output_shape": [3], "bias_axes": None, "activation": "linear"}
    kernel = [("d/kernel", np.zeros(9, "f4"))]
    whole("kernel_of_another_equation", layer("EinsumDense", "d", "x", **einsum), kernel, "2.15.0")
    heads = layer("MultiHeadAttention", "d", "x", num_heads=2, key_dim=3, use_bias=False)
    names = ("query/kernel", "key/kernel", "value/kernel")
    projections = [*((f"d/{name}", np.zeros((4, 2, 3), "f4")) for name in names)]
    whole("heads_put_together_otherwise", heads, [*projections, ("d/output/kernel", kernel[0][1])], "2.15.0")
    dense = layer("Dense", "d", "x", units=4, use_bias=False)
    whole("weights_that_are_booleans", dense, [("d/kernel", np.zeros((4, 4), "?"))], "2.15.0")
    with h5py.File(FOLDER / "config_of_nothing.h5", "w") as file:
        file.attrs["model_config"] = "null"


def text_named_many_times():
    """A list of names whose places all point to one long string."""
    path, length, count = FOLDER / "text_named_many_times.h5", 100_001, 2000
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        names = ["x" * length, *["y"] * (count - 1)]
        file.create_group("a").attrs.create("weight_names", names, dtype=h5py.string_dtype())
    data = path.read_bytes()
    start = data.index(length.to_bytes(4, "little"))
    while data[start + 16 : start + 20] != (1).to_bytes(4, "little"):
        start = data.index(length.to_bytes(4, "little"), start + 1)
    path.write_bytes(data[:start] + data[start : start + 16] * count + data[start + 16 * count :])


if __name__ == "__main__":
    main()
