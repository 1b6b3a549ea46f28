"""HDF5: a strict reader of the subset that saved Keras models need (HDF5 File Format Specification 3.0).

Read: superblocks 0 to 3; groups as symbol tables, compact and dense links; attributes in headers and in
heaps; integers, floats (big-endian and bfloat16 too), booleans and strings; contiguous, compact and
chunked data, the latter through gzip and shuffle. Everything else is refused by name: external and soft
links, external storage, virtual datasets, references, compounds, other filters.

batchdot has a reader of its own because libhdf5 crashes on damaged files, and because pyfive 1.3 allocates
what an attribute claims before it compares that with the file: a file of 2 KiB took 2.3 GiB.
"""

from batchdot.porting.archive.hdf5.file import Dataset, Group, open_hdf5

__all__ = ["Dataset", "Group", "open_hdf5"]
