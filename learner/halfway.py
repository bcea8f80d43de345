"""SHELL: how far the training of a base is, as a file beside it, which goes once the base is there."""

import os
from pathlib import Path
from typing import Final

FILE: Final = "training.safetensors"


class Halfway:
    """What a training keeps in a directory (`learner.fitting.Kept`)."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def read(self) -> bytes | None:
        """Return what was kept last; None of nothing."""
        return self._path.read_bytes() if self._path.is_file() else None

    def keep(self, payload: bytes) -> None:
        """Replace it: a crash leaves either what was there or what is to be."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".partial")
        with aside.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    def forget(self) -> None:
        """Delete it."""
        self._path.unlink(missing_ok=True)
