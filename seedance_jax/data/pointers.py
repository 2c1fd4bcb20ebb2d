"""Git LFS pointers: what a clone without git-lfs leaves in the place of large files."""

from pathlib import Path

START = b"version https://git-lfs"


def check_fetched(path: Path, where: str = "") -> None:
    """Raises ValueError if a file is a Git LFS pointer; where: begins the message, not the path."""
    with path.open("rb") as file:
        if file.read(len(START)) == START:
            raise ValueError(f"{where or path} is a Git LFS pointer, not the file: git lfs pull")
