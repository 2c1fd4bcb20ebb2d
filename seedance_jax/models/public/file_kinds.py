"""What a file is that cannot be read as what its name says, by its first bytes."""

from pathlib import Path

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


def recognise(path: Path) -> str:
    """What a file is, or "" if its first bytes do not say."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return "empty"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for first, kind in KINDS.items() if text.startswith(first)), "")


def check_fetched(path: Path) -> None:
    """Raises ValueError if a file is a Git LFS pointer."""
    if recognise(path) == POINTER:
        raise ValueError(f"{path} is {POINTER}")
