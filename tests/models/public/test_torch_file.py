import collections
import io
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from golden import make_torch_files
from safetensors.numpy import save_file

from seedance_jax.models.public import torch_file
from seedance_jax.models.public.torch_file import check_shapes, open_tensors

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


def test_a_report_of_many_names_is_short():
    expected = {f"layer{i}": (2,) for i in range(100)}
    with pytest.raises(ValueError, match=r"net: 0 of 100 .* 100 missing: layer0, .* and 94 more"):
        check_shapes("net", {}, expected)
    check_shapes("net", {name: np.zeros(2) for name in expected}, expected)
