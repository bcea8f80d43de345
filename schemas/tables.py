"""The SQL projection of three topics: model registry, evaluation history, dead-letter index.

Every row's key comes from the record it was made of, so that reading a topic again changes nothing.
"""

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

models = Table(
    "models",
    metadata,
    Column("model", String(256), primary_key=True),
    Column("version", String(128), primary_key=True),
    Column("parent", String(128)),
    Column("base", String(128), nullable=False),
    Column("created_ts", BigInteger, nullable=False, index=True),
    Column("examples_seen", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
)
"""One row a checkpoint; `manifest` is the whole record as JSON, times are ms since the epoch, UTC."""

evaluations = Table(
    "evaluations",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(256), nullable=False, index=True),
    Column("value", Float, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("model_version", String(128), index=True),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False, index=True),
    Column("slice", Text, nullable=False),
)
"""One row an evaluation record, keyed by its place in the topic; `slice` is `key=value`, comma-separated."""

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("topic", String(256), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String(64), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
"""One row a refused message, keyed by where it stood; the bytes themselves stay in the dead-letters topic."""
