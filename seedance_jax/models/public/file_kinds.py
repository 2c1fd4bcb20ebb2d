"""What a file is that cannot be read as what its name says, by its first bytes."""

from pathlib import Path

from seedance_jax.models.public.safetensors_file import missing_bytes

POINTER = "a Git LFS pointer, not the file: git lfs pull"
KINDS = {
    b"version https://git-lfs": POINTER,
    b"GGUF": "a GGUF file; convert it to .safetensors",
    b"PK\x03\x04": "a zip archive, as torch.save also writes them (.pth)",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"\x80": "a pickle (.pth, if torch.save wrote it)",
    b"<": "a page of HTML or XML: what a server answers when it has no such file",
    b"{": "JSON text",
}

LONGEST_END = 22 + 65535  # bytes of the record that a zip archive ends with
BY_TORCH = (KINDS[b"PK\x03\x04"], KINDS[b"\x80"])  # files of torch.save look like this


def recognise(path: Path) -> str:
    """What a file is, or "" if its first bytes do not say."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "empty"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for first, kind in KINDS.items() if text.startswith(first)), "")


def what_is_wrong(path: Path) -> str:
    """What explains, better than what reading it raised, that there are no tensors; "" is nothing.

    A zip archive or a pickle says more of itself by how it is read, unless it has another name.
    """
    if not path.is_file():
        return ""
    named = path.suffix == ".safetensors"
    if named and (missing := missing_bytes(path)):
        return missing
    kind = recognise(path)
    if kind == KINDS[b"PK\x03\x04"] and b"PK\x05\x06" not in _end(path):
        return "it is cut short: a zip archive without its end"
    return f"it is {kind}" if kind and (named or kind not in BY_TORCH) else ""


def _end(path):
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_END))
        return file.read()


def check_fetched(path: Path) -> None:
    """Raises ValueError if a file is a Git LFS pointer."""
    if recognise(path) == POINTER:
        raise ValueError(f"{path} is {POINTER}")
