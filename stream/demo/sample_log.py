"""SHELL: the shipped sample of real data → a log directory."""

from pathlib import Path

from schemas.events import Item
from stream.conversion import kuairand
from stream.demo.plan import takes_part
from stream.logs import write_log
from stream.sample import sample_path


def write_sample(directory: Path, users: float) -> None:
    """Write the whole catalogue, and all events of this share of the users."""
    for name, records in kuairand.convert(sample_path()).in_order().items():
        kept = (row for row in records if isinstance(row, Item) or takes_part(row.user_id, users))
        write_log(directory, name, kept)
