import collections
import gzip
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest
from golden import make_torch_files
from safetensors.numpy import save_file

from seedance_jax.models.public import torch_file
from seedance_jax.models.public.torch_file import open_tensors

GOLDEN = make_torch_files.HERE
FORMATS = ("zip", "legacy")
GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
LAYOUTS = {
    "whole": GRID,
    "transposed": GRID.transpose(2, 0, 1),
    "column": GRID[:, :, 1],
    "late": GRID[1],
    "stepped": GRID[:, ::2],
    "channels_last": np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4),
    "expanded": np.full((2, 3), 7.0, np.float32),
    "scalar": np.float32(5.0),
    "empty": np.zeros((0, 3), np.float32),
    "parameter": np.array([1.0, 2.0], np.float32),
}


def legacy(contents, keys=()):
    """The bytes of a file from before torch 1.6, up to its storages."""
    machine = {"little_endian": True}
    parts = (torch_file.MAGIC, 1001, machine, contents, list(keys))
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def zipped(contents):
    """The bytes of a file of torch >= 1.6, without storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(contents, protocol=2))
    return file.getvalue()


WRITERS = {"zip": zipped, "legacy": legacy}


@pytest.mark.parametrize("name", make_torch_files.DTYPES)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_dtype_is_read(kind, name):
    array = open_tensors(GOLDEN / f"state_{kind}.pth")[name]
    expected = np.arange(6).reshape(2, 3).astype(name)
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
@pytest.mark.parametrize("kind", FORMATS)
def test_every_layout_is_read(kind, name):
    tensors = open_tensors(GOLDEN / f"state_{kind}.pth")
    array = tensors[f"layout.{name}"]
    assert tensors.shapes[f"layout.{name}"] == array.shape == LAYOUTS[name].shape
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, LAYOUTS[name])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_state_dict_inside_a_dict_is_found(kind):
    tensors = open_tensors(GOLDEN / f"nested_{kind}.pt")
    assert tensors.shapes == {
        "weight": (2,),
        "bias": (2,),
        "running_mean": (2,),
        "running_var": (2,),
        "num_batches_tracked": (),
    }
    np.testing.assert_array_equal(tensors["weight"], np.ones(2))
    assert tensors["num_batches_tracked"] == 0


def test_a_file_written_by_python_2_is_read():
    heads = open_tensors(GOLDEN / "lpips_vgg.pth")
    channels = (64, 128, 256, 512, 512)
    names = [f"lin{k}.model.1.weight" for k in range(5)]
    assert heads.shapes == {name: (1, c, 1, 1) for name, c in zip(names, channels, strict=True)}
    for head in heads.values():
        assert (head >= 0).all()
        assert head.max() > 0


@pytest.mark.parametrize("kind", FORMATS)
def test_values_are_those_that_torch_loads(kind, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pth"
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(5, 6).bfloat16())
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    tensors = open_tensors(path)
    assert set(tensors) == set(model.state_dict())
    for name, expected in torch.load(path, weights_only=True).items():
        assert str(expected.dtype) == f"torch.{tensors[name].dtype}"
        np.testing.assert_array_equal(tensors[name].astype("f4"), expected.float().numpy())


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {
        "half": np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16),
        "single": GRID,
        "count": np.array(3),
        "mask": np.array([True, False]),
    }
    save_file(arrays, path)
    tensors = open_tensors(path)
    assert tensors.shapes == {name: array.shape for name, array in arrays.items()}
    for name, array in arrays.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)
    with pytest.raises(KeyError, match="absent"):
        tensors["absent"]


@pytest.mark.parametrize("kind", FORMATS)
def test_values_are_read_when_asked_for_and_not_before(kind, tmp_path):
    """Names and shapes do not need the values: those may change, or go, after opening."""
    path = tmp_path / "state.pth"
    path.write_bytes((GOLDEN / f"state_{kind}.pth").read_bytes())
    tensors = open_tensors(path)
    first = tensors["float32"]
    first[:] = 0
    assert tensors["float32"].any()
    path.unlink()
    assert tensors.shapes["float32"] == (2, 3)
    with pytest.raises(FileNotFoundError, match="state.pth"):
        tensors["float32"]


class Payload:
    """Pickled, a call of os.mkdir."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_that_calls_a_function_is_refused_and_does_not_run(kind, tmp_path):
    trap = tmp_path / "trap"
    payload = Payload(trap)
    pickle.loads(pickle.dumps(payload))
    assert trap.exists(), "the payload works where nothing stops it"
    trap.rmdir()
    path = tmp_path / "model.pth"
    path.write_bytes(WRITERS[kind]({"weight": payload}))
    with pytest.raises(ValueError, match=r"model.pth: .*refused (posix|nt)\.mkdir"):
        open_tensors(path)
    assert not trap.exists()


@pytest.mark.parametrize("position", range(3))
def test_no_pickle_of_a_legacy_file_is_trusted(position, tmp_path):
    trap = tmp_path / "trap"
    parts = [torch_file.MAGIC, 1001, {"little_endian": True}]
    parts[position] = Payload(trap)
    path = tmp_path / "model.pth"
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(ValueError, match="refused"):
        open_tensors(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("os", "system"),
        ("collections", "OrderedDict.fromkeys"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("os", "FloatStorage"),
        ("torch.serialization", "load"),
    ],
)
def test_a_name_outside_the_list_is_refused(module, name):
    unpickler = torch_file.StateDictUnpickler(io.BytesIO())
    with pytest.raises(pickle.UnpicklingError, match=f"refused {module}.{name}"):
        unpickler.find_class(module, name)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["state_zip.pth", "state_legacy.pth"])
def test_a_truncated_file_is_one_error_with_its_name(name, share, tmp_path):
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=f"{name}: not a readable file of tensors"):
        open_tensors(path)


def test_a_truncated_safetensors_file_is_one_error_with_its_name(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"grid": GRID}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="model.safetensors: not a readable file of tensors"):
        open_tensors(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([1, 2], "holds a list instead of a state dict"),
        ({"lr": 0.1}, "1 not tensors: lr"),
        (collections.Counter("a"), r"refused collections\.Counter"),
    ],
)
def test_a_pickle_of_something_else_is_named(kind, contents, message, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(WRITERS[kind](contents))
    with pytest.raises(ValueError, match=f"model.pth: .*{message}"):
        open_tensors(path)


def test_a_pickle_that_torch_did_not_write_is_named(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="a pickle, but not of torch.save"):
        open_tensors(path)


def test_a_wrong_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pth: no such file"):
        open_tensors(tmp_path / "absent.pth")
    with pytest.raises(ValueError, match="model.bin: the suffix must be one of .safetensors"):
        open_tensors(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (7,), (1,)), (-1, (1,), (1,)), (5, (2,), (1,)), (0, (2, 2), (9, 1)), (2, (3,), (-2,))],
)
def test_a_tensor_does_not_reach_outside_its_storage(offset, shape, stride):
    storage = torch_file.Storage("0", "float32", 6, 0)
    tensor = torch_file.Tensor(storage, offset, shape, stride)
    with pytest.raises((ValueError, TypeError)):
        torch_file._to_array(tensor, bytes(24))


def safetensors_bytes(**tensors):
    """A .safetensors file of {name: (dtype, shape, bytes)}, whatever its library can write."""
    header, start = {}, 0
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [start, start + len(content)],
        }
        start += len(content)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(t[2] for t in tensors.values())


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("F8_E4M3", ml_dtypes.float8_e4m3fn), ("F8_E5M2", ml_dtypes.float8_e5m2)],
)
def test_float8_is_read(tmp_path, dtype, kind):
    values = np.array([[0.5, -1.5, 2.0], [448.0, 0.0, -0.25]]).astype(kind)
    whole = ("F32", [1], np.float32(3).tobytes())
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(before=whole, weight=(dtype, [2, 3], values.tobytes())))
    tensors = open_tensors(path)
    assert tensors.shapes == {"before": (1,), "weight": (2, 3)}
    assert tensors["weight"].dtype == kind
    np.testing.assert_array_equal(
        torch_file.as_weights(tensors["weight"], "weight", np.float32), values.astype(np.float32)
    )
    assert tensors["before"] == 3


class Float8:
    """Pickled as torch pickles a tensor of float8: bytes, and the name of the type."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __reduce__(self):
        utils, torch = sys.modules["torch._utils"], sys.modules["torch"]
        args = (Bytes(), 1, (2, 2), (1, 2), False, {}, getattr(torch, self.dtype))
        return utils._rebuild_tensor_v3, args


class Bytes:
    """A storage of five bytes."""


@pytest.fixture
def fake_torch(monkeypatch):
    """What the names of torch are in a pickle, of which nothing is called."""

    def name(module, word):
        found = type(word, (), {"__module__": module, "__qualname__": word})
        monkeypatch.setattr(sys.modules[module], word, found, raising=False)
        return found

    for module in ("torch", "torch._utils", "torch.storage"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    name("torch._utils", "_rebuild_tensor_v3")
    for dtype in (*torch_file.FLOAT8, "uint16"):
        name("torch", dtype)
    return name("torch.storage", "UntypedStorage")


@pytest.mark.parametrize("dtype", torch_file.FLOAT8)
def test_float8_of_torch_is_read(tmp_path, fake_torch, dtype):
    class Pickler(pickle.Pickler):
        def persistent_id(self, found):
            return ("storage", fake_torch, "0", "cpu", 5) if isinstance(found, Bytes) else None

    content, path = io.BytesIO(), tmp_path / "model.pt"
    Pickler(content, protocol=2).dump({"weight": Float8(dtype)})
    values = np.array([9, 0.5, 1, 2, -3], dtype)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content.getvalue())
        archive.writestr("archive/data/0", values.tobytes())
    array = open_tensors(path)["weight"]
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.astype(np.float32), [[0.5, 2], [1, -3]])


def test_a_type_that_is_not_read_is_named_with_those_that_are(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(scale=("F8_E8M0", [4], bytes(4))))
    with pytest.raises(ValueError, match=r"scale is F8_E8M0; read are .*BF16.*F8_E4M3"):
        open_tensors(path)["scale"]


@pytest.mark.parametrize(
    "name", ["scaled_fp8", "q.scale_weight", "q.weight_scale_inv", "q.weight_scale", "q.SCB"]
)
def test_quantised_weights_are_not_read_as_if_they_were_not(tmp_path, name):
    fp8, scale = ("F8_E4M3", [2], bytes(2)), ("F32", [1], bytes(4))
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(**{"q.weight": fp8, name: scale}))
    with pytest.raises(ValueError, match=rf"a\.safetensors: .*quantised, .* 1 scales: {name}"):
        open_tensors(path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2541887\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Not found</body></html>"


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "it is a Git LFS pointer, not the file: git lfs pull"),
        (PAGE, "it is a page of HTML or XML"),
        (b'\xef\xbb\xbf{"error": "no access"}', "it is JSON text"),
        (b"GGUF\x03\0\0\0" + bytes(64), "it is a GGUF file"),
        (gzip.compress(b"weights"), "it is a gzip archive"),
        (b"", "it is empty"),
        (b"\x10\0", "not a readable file of tensors"),
    ],
    ids=["pointer", "page", "json", "gguf", "gzip", "empty", "two bytes"],
)
def test_a_file_of_another_kind_is_said_in_one_line(tmp_path, suffix, content, said):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"model\.{suffix}: .*{said}") as error:
        open_tensors(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kind", "said"), [("zip", "a zip archive"), ("legacy", "a pickle")])
def test_a_file_of_torch_with_the_suffix_of_another_is_said(tmp_path, kind, said):
    path = tmp_path / "model.safetensors"
    path.write_bytes((GOLDEN / f"state_{kind}.pth").read_bytes())
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*it is {said}"):
        open_tensors(path)


@pytest.mark.parametrize("left", [0.5, 0.9, 0.999])
def test_a_cut_file_says_how_much_of_it_is_there(tmp_path, left):
    path = tmp_path / "model.safetensors"
    save_file({"grid": np.zeros(1000, np.float32)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    said = rf"it is cut short: {int(left * len(whole)):,} of {len(whole):,} bytes"
    with pytest.raises(ValueError, match=said):
        open_tensors(path)


@pytest.mark.parametrize(
    ("name", "left", "said"),
    [
        ("model.safetensors", 40, "it is cut short: 40 bytes, and its header does not end in them"),
        ("state_zip.pth", 3000, "it is cut short: a zip archive without its end"),
    ],
)
def test_a_file_that_is_cut_early_says_so(tmp_path, name, left, said):
    path = tmp_path / name
    save_file({"grid": GRID}, tmp_path / "model.safetensors")
    (tmp_path / "state_zip.pth").write_bytes((GOLDEN / "state_zip.pth").read_bytes())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=f"{name}: not a readable file of tensors: {said}"):
        open_tensors(path)


@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_when_they_are_read(tmp_path, kind, value):
    types = {np.float32: "F32", ml_dtypes.bfloat16: "BF16", ml_dtypes.float8_e5m2: "F8_E5M2"}
    bad, path = np.array([1.0, value, 2.0]).astype(kind), tmp_path / "a.safetensors"
    good = np.ones(3, kind)
    entries = {name: (types[kind], [3], x.tobytes()) for name, x in (("b", bad), ("g", good))}
    path.write_bytes(safetensors_bytes(**entries))
    tensors = open_tensors(path)
    np.testing.assert_array_equal(tensors["g"], good)
    with pytest.raises(ValueError, match=r"a\.safetensors: b \(1 of 3 values\).*finite"):
        tensors["b"]


def test_weights_that_the_wanted_type_cannot_hold_are_refused():
    large = np.array([1e30, 1.0], np.float32)
    assert torch_file.as_weights(large, "w", ml_dtypes.bfloat16)[1] == 1
    with pytest.raises(ValueError, match="w .float32.: .*finite.* float16"):
        torch_file.as_weights(large, "w", np.float16)
    with pytest.raises(ValueError, match="w .int8.: weights must be .*floating-point"):
        torch_file.as_weights(np.ones(2, np.int8), "w", np.float32)
