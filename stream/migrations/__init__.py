"""SHELL: the shape of the registry's database, version by version, by Alembic.

A change of `schemas/tables.py` is a new file in `versions/`:
`alembic revision --autogenerate -m "what changes"` writes it, for the database of `FRESHRANK_DATABASE`.
A test compares the tables with what all the versions make together.
"""

import threading
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

PLACE: Final = "stream:migrations"

_TURN: Final = threading.Lock()
"""Alembic's `op` and `context` are of the whole process."""


def migrate(connection: Connection) -> None:
    """Bring a database to the newest version, whatever its own; one that is there changes nothing."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", PLACE)
    with _TURN:
        command.upgrade(config, "head")
