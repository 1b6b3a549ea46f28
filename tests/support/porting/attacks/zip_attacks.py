"""Archives: a writer that can lie in every field, and what it writes."""

import io
import json
import struct
import zipfile
import zlib

from tests.support.porting.attacks.registry import attack_for

attack = attack_for(".keras")

CONFIG = json.dumps(
    {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [{"class_name": "Dropout", "config": {"name": "d", "rate": 0.5}}]},
    }
).encode()


def entry(name, data=b"", **lies):
    """Return what a member's two headers say, and its bytes; ``lies`` replace fields (``local_`` in one)."""
    method = lies.get("method", 0)
    packed = lies.pop("packed_data", None)
    if packed is None:
        packed = zlib.compress(data, 9)[2:-4] if method == 8 else data
    fields = {
        "name": name.encode() if isinstance(name, str) else name,
        "method": method,
        "flags": 0,
        "crc": zlib.crc32(data),
        "packed": len(packed),
        "size": len(data),
        "attributes": 0o100644 << 16,
        "offset": None,
        "extra": b"",
    }
    local = dict(fields)
    for key, value in lies.items():
        if key.startswith("local_"):
            local[key[6:]] = value
        else:
            fields[key] = local[key] = value
    return fields, local, packed


def archive(*entries, prefix=b"", **lies):
    """Return a zip of entries; ``lies`` replace fields of the end record."""
    out = bytearray(prefix)
    central = bytearray()
    for fields, local, packed in entries:
        offset = len(out) if fields["offset"] is None else fields["offset"]
        out += struct.pack(
            "<4sHHHHHIIIHH", b"PK\3\4", 20, local["flags"], local["method"], 0, 0, local["crc"], local["packed"],  # noqa: E501
            local["size"], len(local["name"]), len(local["extra"]),
        ) + local["name"] + local["extra"] + packed  # fmt: skip
        central += struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0x314, 20, fields["flags"], fields["method"], 0, 0, fields["crc"],  # noqa: E501
            fields["packed"], fields["size"], len(fields["name"]), len(fields["extra"]), 0, 0, 0,
            fields["attributes"], offset,
        ) + fields["name"] + fields["extra"]  # fmt: skip
    end = {"count": len(entries), "size": len(central), "start": len(out), "disk": 0} | lies
    out += central
    out += struct.pack(
        "<4sHHHHIIH", b"PK\5\6", end["disk"], 0, end["count"], end["count"], end["size"], end["start"], 0
    )
    return bytes(out)


def plain():
    return archive(entry("metadata.json", b"{}"), entry("config.json", CONFIG))


@attack(None)
def an_honest_archive():
    return plain()


@attack("unsafe name")
def parent_folder():
    return archive(entry("config.json", CONFIG), entry("../config.json", CONFIG))


@attack("unsafe name")
def parent_folder_in_assets():
    return archive(entry("config.json", CONFIG), entry("assets/../../x", b"x"))


@attack("unsafe name")
def absolute_name():
    return archive(entry("config.json", CONFIG), entry("/etc/passwd", b"x"))


@attack("unsafe name")
def drive_letter():
    return archive(entry("config.json", CONFIG), entry("c:config.json", b"x"))


@attack("unsafe name")
def backslash():
    return archive(entry("config.json", CONFIG), entry("assets\\x", b"x"))


@attack("unsafe name")
def name_that_is_no_text():
    return archive(entry("config.json", CONFIG), entry(b"\xff\xfe", b"x"))


@attack("a link or a device")
def symbolic_link():
    return archive(entry("config.json", b"/etc/passwd", attributes=0o120777 << 16))


@attack("does not have")
def unexpected_member():
    return archive(entry("config.json", CONFIG), entry("run_me.py", b"import os"))


@attack("PyTorch checkpoint")
def pickle_member():
    return archive(entry("archive/data.pkl", b"\x80\x02."))


@attack("twice")
def duplicate_member():
    return archive(entry("config.json", CONFIG), entry("config.json", b"{}"))


@attack("encrypted")
def encrypted():
    return archive(entry("config.json", CONFIG, flags=1))


@attack("disagree")
def encrypted_in_one_header():
    return archive(entry("config.json", CONFIG, local_flags=1))


@attack("compression method 12")
def bzip2_method():
    return archive(entry("config.json", CONFIG, method=12))


@attack("compression method 99")
def unknown_method():
    return archive(entry("config.json", CONFIG, method=99))


@attack("another name")
def headers_with_two_names():
    return archive(entry("config.json", CONFIG, local_name=b"config.jsoN"))


@attack("disagree")
def headers_with_two_sizes():
    return archive(entry("config.json", CONFIG, local_size=5))


@attack("disagree")
def headers_with_two_checksums():
    return archive(entry("config.json", CONFIG, local_crc=5))


@attack("disagree")
def headers_with_two_methods():
    return archive(entry("config.json", CONFIG, local_method=8))


@attack("overlaps")
def overlapping_members():
    first = entry("config.json", CONFIG)
    second = entry("metadata.json", b"{}")
    inner = archive(second)[: 30 + 13 + 2]
    return archive(entry("config.json", inner), (second[0] | {"offset": 41}, second[1], second[2])) or first


@attack("overlaps|no member where")
def quoted_members():
    """The files of a zip bomb that quote each other's headers (David Fifield's construction)."""
    body = b"x" * 1000
    return archive(entry("config.json", CONFIG), entry("assets/a", body), entry("assets/b", body, offset=100))


@attack("60,000 members")
def sixty_thousand_members():
    return archive(*(entry(f"assets/{number}", b"") for number in range(60_000)))


@attack("inflates from")
def thousandfold():
    return archive(entry("config.json", b" " * 10_000_000, method=8))


@attack("inflate to its")
def thousandfold_that_lies_about_it():
    return archive(entry("config.json", b" " * 10_000_000, method=8, size=100, crc=0))


@attack("does not inflate to its")
def smaller_than_it_says():
    return archive(entry("config.json", CONFIG, method=8, size=len(CONFIG) + 1))


@attack("damaged")
def deflated_garbage():
    return archive(entry("config.json", CONFIG, method=8, packed_data=b"\xff" * 50))


@attack("checksum")
def wrong_checksum():
    return archive(entry("config.json", CONFIG, crc=1))


@attack("end record")
def truncated():
    return plain()[:-30]


@attack("end record")
def truncated_in_the_middle():
    return plain()[:60]


@attack("end record")
def only_a_signature():
    return b"PK\3\4"


@attack("end record|directory")
def trailing_bytes():
    return plain() + b"more"


@attack("source code")
def bytes_in_front():
    return archive(entry("config.json", CONFIG), prefix=b"#!/bin/sh\n")


@attack("in front of")
def a_hidden_member_in_front():
    hidden = archive(entry("metadata.json", b"{}"))[: 30 + 13 + 2]
    return archive(entry("config.json", CONFIG), prefix=hidden)


@attack("several parts")
def several_disks():
    return archive(entry("config.json", CONFIG), disk=1)


@attack("directory is not where")
def directory_elsewhere():
    return archive(entry("config.json", CONFIG), start=5)


@attack("zip64")
def zip64_without_its_record():
    return archive(entry("config.json", CONFIG), count=0xFFFF)


@attack("overlaps")
def zip64_of_petabytes():
    extra = struct.pack("<HHQQ", 1, 16, 2**60, 2**60)
    return archive(entry("config.json", CONFIG, size=0xFFFFFFFF, packed=0xFFFFFFFF, extra=extra))


@attack("several files")
def sharded_weights():
    return archive(entry("config.json", CONFIG), entry("model.weights.json", b"{}"))


@attack("inside of the folder")
def one_folder_too_deep():
    return archive(entry("model/config.json", CONFIG))


@attack("pickled object")
def npz_with_a_pickle():
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        head = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
        head += b" " * (64 - 10 - len(head) % 64) + b"\n"
        file.writestr(
            "layers/dense.npy",
            b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + b"cos\nsystem\n(S'ls'\ntR.",
        )
    return archive(entry("config.json", CONFIG), entry("model.weights.npz", inner.getvalue()))


@attack("of shape|bytes of numbers")
def npz_of_terabytes():
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
        head += b" " * 40 + b"\n"
        file.writestr("layers/dense/0.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)
    return archive(entry("config.json", CONFIG), entry("model.weights.npz", inner.getvalue()))


@attack("a NumPy header")
def npz_whose_header_takes_for_ever():
    """Digits that a careless regular expression splits in every way."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1" * 20_000 + b"x), }\n"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("layers/dense/0.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)
    return archive(entry("config.json", CONFIG), entry("model.weights.npz", inner.getvalue()))


@attack("weights that no layer")
def weights_that_nothing_uses():
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + b" " * 20 + b"\n"
        file.writestr("layers/dense/0.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(8))
    return archive(entry("config.json", CONFIG), entry("model.weights.npz", inner.getvalue()))


@attack("does not have")
def name_with_an_end_inside():
    return archive(entry("metadata.json", b"{}"), entry("config.json\0.txt", CONFIG))


@attack("does not have|zip without")
def name_in_capitals():
    return archive(entry("CONFIG.JSON", CONFIG))


@attack("after|more|bytes|deflate|damaged")
def deflated_with_bytes_behind():
    packed = zlib.compress(CONFIG, 9)[2:-4] + b"{}" * 50
    return archive(entry("config.json", CONFIG, method=8, packed_data=packed))


@attack("end|bytes|two|zip|behind")
def an_end_in_the_comment_of_another():
    inner = archive(entry("config.json", b"{}"))
    outer = bytearray(plain())
    outer[-2:] = struct.pack("<H", len(inner))
    return bytes(outer) + inner


@attack(None)
def sizes_left_to_a_descriptor():
    """As writers of streams do: what counts is the directory at the end."""
    lies = {"flags": 8, "local_crc": 0, "local_packed": 0, "local_size": 0}
    return archive(entry("config.json", CONFIG, **lies), entry("metadata.json", b"{}"))


@attack("overlaps|headers")
def zip64_sizes_where_none_belong():
    extra = struct.pack("<HHQQ", 1, 16, 2**40, 2**40)
    return archive(entry("config.json", CONFIG, extra=extra, size=2**32 - 1, packed=2**32 - 1))


def npy(shape, data=b""):
    """Return an array of float32 as numpy saves it."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


@attack("members that inflate from")
def a_hundred_arrays_that_inflate_a_hundredfold():
    """Each may, all together may not: every header that is read inflates its array."""
    seed = b"".join(zlib.crc32(bytes([n % 256, n // 256])).to_bytes(4, "little") for n in range(1300))
    array = npy((250_000,), seed * 2 + bytes(1_000_000 - 2 * len(seed)))
    inner = archive(*(entry(f"layers/dense_{n}/0.npy", array, method=8) for n in range(100)))
    return archive(entry("config.json", CONFIG), entry("model.weights.npz", inner))


@attack("found null; allowed: an object")
def a_config_of_nothing():
    return archive(entry("config.json", b"null"))


@attack("does not have")
def a_name_that_colours_the_terminal():
    return archive(entry("config.json", CONFIG), entry("\x1b[31mred\u202e", b"a"))
