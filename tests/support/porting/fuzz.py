"""Fuzz the parsers: mutated files are read or refused with ModelFileError, and nothing else ever happens.

Targets are the parsers (hdf5, zip, json, npz), a whole ``.keras`` archive (archive), the record that a config
is made into (record), that of a config with weights (model), and the module that such a record is ported to
(port). Seeds are the fixtures; no other tool is needed. A short run is part of the tests, a long one is by
hand:

    python -m tests.support.porting.fuzz hdf5 --count 2000000 --seed 1

It prints counts every minute and ends with status 1 if an input crashed, hung, or raised another error;
such inputs are written to the folder that --keep names.
"""

import argparse
import contextlib
import io
import json
import math
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.support.porting.corpus import fixture_files

from batchdot.porting.archive import json_text, npz
from batchdot.porting.archive.container import parse_archive
from batchdot.porting.archive.hdf5 import open_hdf5
from batchdot.porting.archive.source import BytesSource, blocks
from batchdot.porting.archive.weights import LegacyWeights
from batchdot.porting.archive.zip_file import members
from batchdot.porting.errors import ModelFileError, NotPortableError
from batchdot.porting.inspection import inspect_record
from batchdot.porting.record import record_of

SLOW = 1.0
"""Seconds of CPU time that no input may take."""

INTERESTING = (0, 1, 2, 7, 8, 16, 0x7F, 0x80, 0xFE, 0xFF)
WORDS = (0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 96, 800, 4096)


def arrays(weights):
    groups = [arrays for _, arrays in weights.layers] if isinstance(weights, LegacyWeights) else []
    if weights is not None and not groups and not isinstance(weights, LegacyWeights):
        return [array for found in weights.arrays.values() for array in found]
    return [array for group in groups for _, array in group]


def read_arrays(opened):
    for array in arrays(opened.weights):
        array.read()


def read_hdf5(data):
    if data[:8] != b"\x89HDF\r\n\x1a\n":
        return
    read_arrays(parse_archive("fuzzed", BytesSource(data)))


def read_zip(data):
    if data[:4] != b"PK\3\4":
        return
    for member in members(BytesSource(data), lambda name: True).values():
        for _ in blocks(member):
            pass
        member.verify()


def read_archive_file(data):
    if data[:4] == b"PK\3\4":
        read_arrays(parse_archive("fuzzed", BytesSource(data)))


def read_npz(data):
    for array in npz.arrays(BytesSource(data)):
        array.read()


def read_json(data):
    parse_archive("fuzzed", BytesSource(data))


def read_record(data):
    record_of(parse_archive("fuzzed", BytesSource(data)))


def read_model(data):
    """Read a whole model whose config is the first line and whose weights follow as they were."""
    config, _, weights = data.partition(b"\n")
    opened = parse_archive("fuzzed", BytesSource(weights))
    read_arrays(opened)
    model = record_of(replace(opened, config=json_text.parse(config, "model_config")))
    report = inspect_record(model)
    str(report), report.svg(), report.data()


def port_model(data):
    """Port a model as `read_model` gets it, and run it on a batch of two if its sizes are small.

    Some sizes may not fit where it leaves them open.
    """
    from batchdot.porting.ported import port_record
    from batchdot.porting.translation import Options

    config, _, weights = data.partition(b"\n")
    opened = parse_archive("fuzzed", BytesSource(weights))
    record = record_of(replace(opened, config=json_text.parse(config, "model_config")))
    ported = port_record(record, Options())
    module = ported.module()
    inputs = small_inputs(record)
    if inputs is not None:
        with torch.no_grad(), contextlib.suppress(*[RuntimeError] * leaves_sizes_open(record)):
            module(*inputs)


def leaves_sizes_open(record):
    """Whether a model leaves sizes open, of which it may take no others than it was made for."""
    inputs = {ref.layer for ref in record.input_refs}
    return any(None in call.output_shapes[0][1:] for call in record.calls if call.layer in inputs)


def small_inputs(record):
    """Return tensors for the inputs of a model, None if a size in it is large."""
    sizes = [size for call in record.calls for shape in call.output_shapes for size in shape or ()]
    if any(size is not None and size > 1000 for size in sizes):
        return None
    inputs = []
    for ref in record.input_refs:
        layer = record.layer(ref.layer)
        known = next(call.output_shapes[0] for call in record.calls if call.layer == ref.layer)
        if known is None:
            return None
        shape = [2, *(size or 7 for size in known[1:])]
        if math.prod(shape) > 100_000:
            return None
        dtype = getattr(torch, str(layer.config["dtype"]), None)
        inputs.append(torch.ones(shape, dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32))
    return inputs


READERS = {
    "hdf5": read_hdf5,
    "zip": read_zip,
    "json": read_json,
    "npz": read_npz,
    "archive": read_archive_file,
    "record": read_record,
    "model": read_model,
    "port": port_model,
}


def flip(data, rng):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def byte(data, rng):
    data[rng.randrange(len(data))] = rng.choice(INTERESTING)


def word(data, rng):
    size = rng.choice((2, 4, 8))
    at = rng.randrange(max(len(data) - size, 1))
    data[at : at + size] = (rng.choice(WORDS) & (2 ** (8 * size) - 1)).to_bytes(size, "little")


def shift(data, rng):
    at = rng.randrange(len(data))
    value = data[at]
    data[at] = (value + rng.choice((-8, -1, 1, 8, 16))) % 256


def cut(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 8, 24, 100))]


def repeat(data, rng):
    at, to = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[at : at + rng.choice((1, 8, 24, 40))]
    if rng.random() < 0.5:
        data[to:to] = piece
    else:
        data[to : to + len(piece)] = piece


def truncate(data, rng):
    del data[rng.randrange(len(data)) :]


BYTES = (flip, flip, byte, byte, word, word, shift, repeat, cut, truncate)

VALUES = (
    *(
        True,
        False,
        None,
        0,
        1,
        -1,
        2,
        7,
        2**31,
        10**12,
        1.5,
        -0.5,
        float("nan"),
        float("inf"),
        "",
        "x",
        "a/b",
    ),
    *(
        "relu",
        "same",
        "channels_first",
        "\n",
        "'\"{}",
        [],
        [0],
        [1, 2],
        [None, 3],
        [[]],
        {},
        {"a": 1},
        [-1],
        [2, 1],
    ),
    *({"class_name": "L2", "config": {"l2": 0.1}}, ["x", 0, 0], [["x", 0, 0, {}]], [[["x", 0, 0]]]),
)


def mutate_json(value, rng):
    """Change some values of a config at random, so that what is hostile is the meaning, not the syntax."""
    places = []

    def walk(item):
        if isinstance(item, dict):
            for key in item:
                places.append((item, key))
                walk(item[key])
        elif isinstance(item, list):
            for index in range(len(item)):
                places.append((item, index))
                walk(item[index])

    walk(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        owner, key = rng.choice(places)
        other, other_key = rng.choice(places)
        try:
            kind = rng.random()
            if kind < 0.5:
                owner[key] = rng.choice(VALUES)
            elif kind < 0.75:
                owner[key] = json.loads(json.dumps(other[other_key]))
            elif kind < 0.9:
                del owner[key]
            elif isinstance(owner, dict):
                owner[str(other_key)] = owner.pop(key)
            else:
                owner.append(owner[key])
        except (KeyError, IndexError, ValueError, RecursionError):
            pass
    return json.dumps(value).encode()


def npz_seeds():
    """Return archives of arrays of several dtypes, ranks and orders, stored and deflated."""
    made = []
    for save in (np.savez, np.savez_compressed):
        for dtype in ("f4", ">f8", "i1", "?"):
            file = io.BytesIO()
            square = np.arange(12).reshape(3, 4).astype(dtype)
            save(
                file, **{"a/vars/0": square, "a/vars/1": np.asfortranarray(square), "b/vars/0": square[0, 0]}
            )
            made.append(file.getvalue())
    return made


def seeds(target):
    if target == "npz":
        return npz_seeds()
    suffixes = {
        "hdf5": (".h5",),
        "model": (".h5",),
        "port": (".h5",),
        "zip": (".keras",),
        "archive": (".keras",),
    }.get(target, (".json",))
    limit = {
        "hdf5": 40_000,
        "model": 40_000,
        "port": 40_000,
        "zip": 60_000,
        "archive": 60_000,
        "json": 4_000,
        "record": 10_000,
    }[target]
    found = [data for name, data in fixture_files() if name.endswith(suffixes) and len(data) <= limit]
    found = [data for data in found if b'"weight' not in data[:20]]
    if target in ("model", "port"):
        found = [data for data in found if b"model_config" in data and data[:4] == b"\x89HDF"]
    return [data for data in found if target not in ("zip", "archive") or data[:2] == b"PK"]


def run(target, count, seed, keep=None, report=None, seconds=math.inf):
    """Return what happened: counts by kind, and the inputs for which something else did.

    It ends after ``count`` inputs or so many ``seconds``, whichever comes first.
    """
    rng = random.Random(seed)
    pool = seeds(target)
    reader = READERS[target]
    counts = {"read": 0, "refused": 0, "slow": 0, "other": 0}
    start = time.monotonic()
    worst, bad, next_report = 0.0, [], start + 60
    for number in range(count):
        if time.monotonic() - start > seconds:
            break
        original = pool[rng.randrange(len(pool))]
        if target in ("model", "port"):
            root = open_hdf5(BytesSource(original))
            config = json.loads(root.attributes["model_config"])
            data = mutate_json(config, rng) + b"\n" + original
        elif target == "record" and rng.random() < 0.9:
            data = mutate_json(json.loads(original), rng)
        else:
            changed = bytearray(original)
            for _ in range(rng.choice((1, 1, 2, 3, 8))):
                if changed:
                    rng.choice(BYTES)(changed, rng)
            data = bytes(changed)
        started = time.process_time()
        try:
            reader(data)
            counts["read"] += 1
        except (ModelFileError, NotPortableError) as error:
            str(error)
            counts["refused"] += 1
        except (Exception, RecursionError, MemoryError) as error:
            counts["other"] += 1
            bad.append((repr(error), data))
        took = time.process_time() - started
        worst = max(worst, took)
        if took > (10 * SLOW if target == "port" else SLOW):  # which runs the module too
            counts["slow"] += 1
            bad.append((f"took {took:.2f} s", data))
        if keep and bad:
            what, data = bad[-1]
            (Path(keep) / f"{target}-{seed}-{number}.bin").write_bytes(data)
            print(number, what, flush=True)
            bad.clear()
        if report and time.monotonic() > next_report:
            next_report += 60
            report(number + 1, counts, worst)
    return counts, worst, bad


def limit_memory(gigabytes):
    """Turn an input that asks for memory without end into a MemoryError, before the machine suffers."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (gigabytes * 2**30, gigabytes * 2**30))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=READERS)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default=None)
    options = parser.parse_args()
    if options.keep:
        Path(options.keep).mkdir(parents=True, exist_ok=True)
    limit_memory(16 if options.target == "port" else 1)
    if hasattr(signal, "SIGVTALRM"):

        def hang(*_):
            raise TimeoutError("an input took over 10 s of CPU time")

        signal.signal(signal.SIGVTALRM, hang)

    def report(done, counts, worst):
        print(f"{options.target}: {done:,} inputs, {counts}, slowest {1000 * worst:.0f} ms", flush=True)

    counts, worst, _ = run(options.target, options.count, options.seed, options.keep, report, options.seconds)
    report(counts["read"] + counts["refused"] + counts["other"], counts, worst)
    sys.exit(bool(counts["other"] or counts["slow"]))


if __name__ == "__main__":
    main()
