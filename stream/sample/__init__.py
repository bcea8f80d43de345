"""The shipped sample: real rows in their source's form, with its licence and attribution."""

from importlib.resources import files
from pathlib import Path


def sample_path() -> Path:
    """The directory of the KuaiRand sample, as `freshrank convert kuairand` reads it."""
    return Path(str(files("stream.sample") / "kuairand"))
