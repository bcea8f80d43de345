"""The registry's tables: model registry, evaluation history, dead-letter index.

Databases of before there were versions have these tables already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INDEXES = (
    ("models", "created_ts"),
    ("evaluations", "name"),
    ("evaluations", "model_version"),
    ("evaluations", "window_end"),
    ("dead_letters", "reason"),
)


def upgrade() -> None:
    """From nothing to 0001."""
    op.create_table(
        "models",
        sa.Column("model", sa.String(256), primary_key=True),
        sa.Column("version", sa.String(128), primary_key=True),
        sa.Column("parent", sa.String(128)),
        sa.Column("base", sa.String(128), nullable=False),
        sa.Column("created_ts", sa.BigInteger, nullable=False),
        sa.Column("examples_seen", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "evaluations",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("model_version", sa.String(128)),
        sa.Column("window_start", sa.BigInteger, nullable=False),
        sa.Column("window_end", sa.BigInteger, nullable=False),
        sa.Column("slice", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "dead_letters",
        sa.Column("topic", sa.String(256), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    for table, column in INDEXES:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], if_not_exists=True)


def downgrade() -> None:
    """From 0001 to nothing: a worker reads the topics into new tables."""
    for table in ("models", "evaluations", "dead_letters"):
        op.drop_table(table)
