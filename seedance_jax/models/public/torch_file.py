"""Reads the tensors of a `.safetensors`, `.pth` or `.pt` file as numpy arrays, without torch.

    tensors = open_tensors("vgg16.pth")
    tensors.shapes["features.0.weight"]  # no values are read
    tensors["features.0.weight"]  # read now and not kept, so large files need little memory

A `.pth` file is a pickle, which may call any function. This unpickler knows only the names of a
state dict, which build records and do nothing else.
"""

import collections
import contextlib
import functools
import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401 (adds bfloat16 to the names that np.dtype knows)
import numpy as np

from seedance_jax.models.public.file_kinds import what_is_wrong
from seedance_jax.models.public.names import check_unquantised, shorten
from seedance_jax.models.public.safetensors_file import read_safetensors

MAGIC = 0x1950A86A20F9469CFC6C  # first value of files from before torch 1.6
TORCH = ("torch", "torch.cuda", "torch.storage")
STORAGES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
    "UntypedStorage": "uint8",
}
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")


class Tensors(Mapping):
    """Mapping of names to arrays, each read on access; `shapes` {name: shape} reads no values."""

    def __init__(self, shapes: Mapping[str, tuple], read: Callable):
        self.shapes, self._read = shapes, read

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise KeyError(name)
        return self._read(name)

    def renamed(self, rename: Callable[[str], str]) -> "Tensors":
        """The same tensors under the names rename(name)."""
        names = {rename(name): name for name in self.shapes}
        shapes = {new: self.shapes[old] for new, old in names.items()}
        return Tensors(shapes, lambda name: self._read(names[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def is_floating(dtype: np.dtype) -> bool:
    """Whether a type is one of floating-point numbers, those of ml_dtypes included."""
    return np.issubdtype(dtype, np.floating) or dtype.name.startswith(("bfloat", "float8"))


def as_weights(array: np.ndarray, name: str, dtype: Any) -> np.ndarray:
    """An array of `Tensors` as weights of a type; ValueError unless all are finite floats of it."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    fits = np.can_cast(array.dtype, dtype)  # so it is finite, as it was when it was read
    if not is_floating(array.dtype) or not (fits or np.isfinite(cast).all()):
        raise ValueError(
            f"{name} ({array.dtype}): weights must be finite floating-point numbers, as "
            f"{np.dtype(dtype)}, too"
        )
    return cast


def open_tensors(path: str | Path) -> Tensors:
    """The tensors of a file with a state dict or with {"state_dict": ...}; floats must be finite.

    Raises:
      FileNotFoundError, or ValueError: another suffix, or no readable state dict.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise ValueError(f"{path}: the suffix must be one of {', '.join(READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with _naming(path):
        shapes, read = READERS[path.suffix](path)
    try:
        check_unquantised(shapes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Tensors(shapes, functools.partial(_read_finite, path, read))


def _read_finite(path, read, name):
    """A tensor of a file; ValueError, with both names, if it is damaged or not finite."""
    with _naming(path):
        array = read(name)
    if is_floating(array.dtype) and not (finite := np.isfinite(array)).all():
        raise ValueError(
            f"{path}: {name} ({np.sum(~finite)} of {array.size} values): weights must be finite "
            "floating-point numbers"
        )
    return array


@contextlib.contextmanager
def _naming(path):
    """Turns whatever a damaged file raises into a ValueError that names the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        what = what_is_wrong(Path(path)) or " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not a readable file of tensors: {what}") from error


def _read_pickle(path):
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    contents, read_storage = (_open_zip if is_zip else _open_legacy)(path)
    state = _state_dict(contents)

    def read(name):
        return _to_array(state[name], read_storage(state[name].storage))

    return {name: tuple(int(n) for n in tensor.shape) for name, tensor in state.items()}, read


READERS = {".safetensors": read_safetensors, ".pth": _read_pickle, ".pt": _read_pickle}


class Storage(NamedTuple):
    """A flat array in the file that tensors may share; size and offset in elements."""

    key: str
    dtype: str
    size: int
    offset: int


class Tensor(NamedTuple):
    """A view of a storage; offset and stride in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class StateDictUnpickler(pickle.Unpickler):
    """Builds dicts of `Tensor` records; refuses pickles that name anything else."""

    def __init__(self, file):
        super().__init__(file, encoding="utf-8")  # files of 2017 come from Python 2
        self.storages = {}

    def find_class(self, module: str, name: str) -> Any:
        # New objects for every load, because a pickle can also modify what it can name.
        allowed = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch.Size": tuple,
            "torch._utils._rebuild_tensor": lambda *args: Tensor(*args),
            "torch._utils._rebuild_tensor_v2": lambda *args: Tensor(*args[:4]),
            "torch._utils._rebuild_tensor_v3": _as_float8,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            **{f"torch.{dtype}": dtype for dtype in FLOAT8},
        }
        if module in TORCH and name in STORAGES:
            return STORAGES[name]
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"refused {module}.{name}: not part of a state dict")
        return allowed[f"{module}.{name}"]

    def persistent_load(self, saved: tuple) -> Storage:
        """("storage", dtype, key, device, size[, view]), view = None or (key, offset, size)."""
        kind, dtype, key, _, size, *view = saved
        if kind != "storage" or dtype not in STORAGES.values():
            raise pickle.UnpicklingError(f"refused a saved {kind}: not part of a state dict")
        self.storages[key] = Storage(key, dtype, size, 0)
        return self.storages[key]._replace(offset=view[0][1] if view and view[0] else 0)


def _as_float8(storage, offset, shape, stride, _grad, _hooks, dtype, *_):
    """A Tensor of a type that torch stores as bytes, and that has one byte."""
    if dtype not in FLOAT8:
        raise pickle.UnpicklingError(f"refused a tensor of {dtype}")
    return Tensor(storage._replace(dtype=dtype), offset, shape, stride)


def _open_zip(path):
    """(contents of a file of torch >= 1.6, function Storage -> bytes)."""
    with zipfile.ZipFile(path) as archive:
        files = archive.namelist()
        pickles = [name for name in files if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip archive, but not of torch.save: no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in files:
            _check_byte_order(archive.read(f"{folder}byteorder") == b"little")
        unpickler = StateDictUnpickler(io.BytesIO(archive.read(pickles[0])))
        contents = unpickler.load()
        for key, storage in unpickler.storages.items():
            _check_size(storage, archive.getinfo(f"{folder}data/{key}").file_size)

    def read(storage):
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{folder}data/{storage.key}")

    return contents, read


def _open_legacy(path):
    """(contents of a file from before torch 1.6, function Storage -> bytes).

    Pickles of the magic number, the version, properties of the machine, the contents and the keys
    of the storages; then for each key an int64 count of elements and the elements.
    """
    with path.open("rb") as file:
        if StateDictUnpickler(file).load() != MAGIC:
            raise ValueError("a pickle, but not of torch.save")
        _version, machine = StateDictUnpickler(file).load(), StateDictUnpickler(file).load()
        _check_byte_order(machine["little_endian"])
        unpickler = StateDictUnpickler(file)
        contents, keys = unpickler.load(), StateDictUnpickler(file).load()
        starts = _find_storages(file, [unpickler.storages[key] for key in keys])

    def read(storage):
        with path.open("rb") as file:
            file.seek(starts[storage.key])
            return file.read(_bytes(storage))

    return contents, read


def _find_storages(file, storages):
    """{key: position of its first element}; `file` must be at the first storage."""
    starts = {}
    for storage in storages:
        (size,) = struct.unpack("<q", file.read(8))
        _check_size(storage, size * np.dtype(storage.dtype).itemsize)
        starts[storage.key] = file.tell()
        file.seek(_bytes(storage), io.SEEK_CUR)
    missing = file.tell() - file.seek(0, io.SEEK_END)
    if missing > 0:
        raise ValueError(f"the last {missing} bytes are missing")
    return starts


def _check_byte_order(little):
    if not little:
        raise ValueError("written on a big-endian machine")


def _check_size(storage, size):
    if size != _bytes(storage):
        raise ValueError(f"storage {storage.key} has {size} bytes instead of {_bytes(storage)}")


def _bytes(storage):
    return storage.size * np.dtype(storage.dtype).itemsize


def _state_dict(contents):
    """{name: Tensor} of the contents of a file."""
    if isinstance(contents, dict) and isinstance(contents.get("state_dict"), dict):
        contents = contents["state_dict"]
    if not isinstance(contents, dict):
        raise ValueError(f"holds a {type(contents).__name__} instead of a state dict")
    other = [str(name) for name, value in contents.items() if not isinstance(value, Tensor)]
    if other:
        raise ValueError(f"not a state dict: {shorten('not tensors', other)}")
    return contents


def _to_array(tensor, data):
    """The elements of a tensor, from the bytes of its storage, as a contiguous array."""
    dtype = np.dtype(tensor.storage.dtype)
    start = tensor.storage.offset + tensor.offset
    if start < 0:
        raise ValueError("a tensor starts before its storage")
    strides = [step * dtype.itemsize for step in tensor.stride]
    # np.ndarray checks that shape and strides stay in the buffer; as_strided does not.
    view = np.ndarray(tensor.shape, dtype, memoryview(data)[start * dtype.itemsize :], 0, strides)
    return view.copy()
