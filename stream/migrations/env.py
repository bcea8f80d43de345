"""SHELL: what Alembic runs for each command: on the connection it is given, or on that of the settings."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from schemas import tables
from stream.settings import Settings


def run(connection: Connection) -> None:
    """Run the migrations that a command asks for, in the connection's transaction."""
    # SQLite cannot alter a table in place: a copy takes its place.
    context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(Settings.from_env(os.environ).database_url).begin() as opened:
        run(opened)
