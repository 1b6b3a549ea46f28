"""HDF5: the subset that saved Keras models need, read strictly, by the format's specification (version 3).

Read: superblocks 0 to 3; groups as symbol tables, compact and dense links; attributes in headers and in
heaps; integers, floats (big-endian and bfloat16 too), booleans and strings; contiguous, compact and
chunked data, the latter through gzip and shuffle. Everything else is refused by name: external and soft
links, external storage, virtual datasets, references, compounds, other filters.

Why not libhdf5 or pyfive: libhdf5 crashes on damaged files, in this process. pyfive 1.3 allocates what an
attribute claims before it compares with the file (2 KiB that claim 300 million names take 2.3 GiB and 7
seconds), and checks by ``assert``, which ``python -O`` removes.
"""

from batchdot.porting.archive.hdf5.file import Dataset, Group, open_hdf5

__all__ = ["Dataset", "Group", "open_hdf5"]
