"""The size limits of the reader of saved Keras models, each with its reason."""

KIB, MIB = 2**10, 2**20

MAX_AXIS = 2**31
"""Size of one axis. Keras's own arrays are bounded by 32-bit indices in most of its kernels."""

MAX_TENSOR = 2**40
"""Numbers in one tensor: far more than any saved by one machine, far less than what overflows."""

MAX_RANK = 32
"""Axes of one tensor; HDF5 allows 32, numpy 64."""

MAX_JSON_BYTES = 32 * MIB
"""Characters of a config. The largest seen, with a vocabulary of 100,000 words, has 2 MiB."""

MAX_JSON_DEPTH = 256
"""Brackets around one value. A nested model adds 6 levels, so 40 models may stand in each other."""

MAX_JSON_TOKENS = 400_000
"""Strings, commas and brackets in a config. Objects of few keys take most memory in Python: 80 MiB in all."""

MAX_INTEGER_DIGITS = 20
"""Digits of an integer: 2**64 has 20."""

MAX_ZIP_MEMBERS = 256
"""Members of a ``.keras`` archive. Keras writes three and one file for each vocabulary."""

MAX_INFLATION = 100
"""Inflated bytes for one deflated byte, beyond the first MiB. Text of a config reaches 40."""

MAX_INFLATED, MAX_INFLATION_BEYOND = 16 * MIB, 16
"""Inflated bytes up to which that holds, and how many there may be for one beyond: weights of which nine in
ten are 0 reach 8."""

MAX_ARRAYS = 100_000
"""Arrays in one file of weights."""

MAX_OBJECTS = 200_000
"""Groups and datasets that are visited in one HDF5 file."""

MAX_PATH = 4096
"""Characters of the path of an HDF5 object: models that stand in each other make paths of 100."""

MAX_PATHS = 16 * MIB
"""Characters of the paths of all objects of an HDF5 file: 100,000 arrays at paths of 100 have 10 million."""

MAX_ATTRIBUTE_BYTES = 32 * MIB
"""Bytes of one HDF5 attribute; the config is one."""

MAX_HDF5_METADATA = 128 * MIB
"""Bytes of structure that are read from one HDF5 file in all, its config included."""

MAX_CHUNKS = 50_000
"""Chunks of one HDF5 dataset: 4 GB in chunks of the sizes that h5py chooses are 21,000."""

MAX_NAME = 1024
"""Characters of the name of a layer or of a weight."""

MAX_LAYERS = 10_000
"""Layers of one model, those of nested models included. The largest that Keras has for images has 1,000."""

MAX_CALLS = 20_000
"""Calls of layers in one model: an attention decoder calls ten layers at each step. 20,000 take a second."""

MAX_CELLS = 100
"""Cells on each other in one recurrent layer. Models have up to ten."""


def most_inflated(packed: int) -> int:
    """Return the bytes that deflated bytes may become.

    >>> most_inflated(0), most_inflated(10 * MIB) // MIB
    (1048576, 160)
    """
    return min(MIB + MAX_INFLATION * packed, max(MAX_INFLATED, MAX_INFLATION_BEYOND * packed))
