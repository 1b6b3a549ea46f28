"""Write the HDF5 files of fixtures/hdf5: every form of HDF5 that the reader knows, by h5py.

Run it by hand where h5py is installed: ``python -m tests.support.porting.make_hdf5_fixtures``.
"""

import h5py
import numpy as np
from tests.support.porting.corpus import FIXTURES

FOLDER = FIXTURES / "hdf5"


def weights(file, layers):
    file.attrs["layer_names"] = np.array([name.encode() for name in layers])
    for name, (rows, columns) in layers.items():
        group = file.create_group(name)
        group.attrs["weight_names"] = np.array([f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()])
        kernel = np.arange(rows * columns, dtype="f4").reshape(rows, columns)
        yield group, f"{name}/kernel:0", kernel
        yield group, f"{name}/bias:0", np.full(columns, 0.5, "f4")


def write(name, layers, libver="earliest", track_order=False, **options):
    with h5py.File(FOLDER / name, "w", libver=libver, track_order=track_order) as file:
        for group, path, values in weights(file, layers):
            if "chunks" in options and options["chunks"] is not True:
                options = {**options, "chunks": tuple(min(8, size) for size in values.shape)}
            group.create_dataset(path, data=values, **options)


def main():
    few = {"a": (3, 4), "b": (4, 2)}
    write("earliest.h5", few)
    write("latest.h5", few, libver="latest")
    write("v108.h5", few, libver=("v108", "v108"))
    write("tracked.h5", few, track_order=True)
    write("gzip_shuffle.h5", {"a": (7, 5), "b": (5, 9)}, chunks=True, compression="gzip", shuffle=True)
    write("chunked_latest.h5", {"a": (7, 5)}, libver="latest", chunks=True, compression="gzip")
    write("many_links.h5", {f"layer_{i:02}": (2, 1) for i in range(30)}, libver="latest")
    write("many_links_tracked.h5", {f"layer_{i:02}": (2, 1) for i in range(30)}, track_order=True)
    write("many_chunks.h5", {"a": (40, 40)}, chunks=8, compression="gzip", shuffle=True)
    with h5py.File(FOLDER / "dtypes.h5", "w") as file:
        kinds = {"e": "<f2", "f": ">f4", "g": "<f8", "h": ">i8", "i": "u1", "j": "?", "k": ">f2", "l": "<i4"}
        file.attrs["layer_names"] = np.array([b"all"])
        group = file.create_group("all")
        group.attrs["weight_names"] = np.array([name.encode() for name in kinds])
        for name, code in kinds.items():
            group[name] = np.arange(6).reshape(2, 3).astype(code)
    with h5py.File(FOLDER / "many_attributes.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = np.array([b"a"])
        for number in range(40):
            file.attrs[f"attribute_{number:02}"] = number
        file.attrs["huge"] = np.frombuffer(b"x" * 100_000, "S100000")[0]
        file.create_group("a").attrs["weight_names"] = np.zeros(0)
    with h5py.File(FOLDER / "split_names.h5", "w") as file:
        names = [f"layer_with_a_long_name_{i:04}".encode() for i in range(60)]
        for number, part in enumerate(np.array_split(np.array(names), 3)):
            file.attrs[f"layer_names{number}"] = part
        for name in names:
            file.create_group(name).attrs["weight_names"] = np.zeros(0)


if __name__ == "__main__":
    main()
