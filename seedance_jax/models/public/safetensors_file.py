"""Reads `.safetensors` files, also tensors of the float8 types, which numpy alone does not have."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors

FLOAT8 = {
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
}
LONGEST_HEADER = 100_000_000  # bytes, by the format
NUMPY = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64")


def read_safetensors(path: Path) -> tuple[dict[str, tuple], Callable[[str], np.ndarray]]:
    """({name: shape}, function that reads the array of a name)."""
    with safetensors.safe_open(path, "np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        types = {name: part.get_dtype() for name, part in slices.items()}

    def read(name):
        if types[name] in FLOAT8:
            return _read_float8(path, name)
        if types[name] not in NUMPY:
            legal = ", ".join((*NUMPY, *FLOAT8))
            raise ValueError(f"{name} is {types[name]}; read are {legal}")
        with safetensors.safe_open(path, "np") as file:
            return file.get_tensor(name)

    return shapes, read


def _read_float8(path, name):
    start, header = read_header(path)
    about = header[name]
    first, last = about["data_offsets"]
    with path.open("rb") as file:
        file.seek(start + first)
        content = file.read(last - first)
    return np.frombuffer(content, FLOAT8[about["dtype"]]).reshape(about["shape"])


def read_header(path: Path) -> tuple[int, dict]:
    """(where the first tensor begins, {name: dtype, shape and data_offsets from there}).

    Raises ValueError if the file is none of the format, or ends within its header.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        size = path.stat().st_size
        if 8 + length > size:
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return 8 + length, header


def missing_bytes(path: Path) -> str:
    """How much of a file is there if its header says that it had more; else ""."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and size < 8 + struct.unpack("<Q", start[:8])[0] < LONGEST_HEADER:
        return f"it is cut short: {size:,} bytes, and its header does not end in them"
    try:
        start, header = read_header(path)
        whole = start + max(about["data_offsets"][1] for about in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        return ""
    return f"it is cut short: {size:,} of {whole:,} bytes" if size < whole else ""
