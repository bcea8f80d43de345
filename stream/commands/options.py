"""SHELL: options that several subcommands share: settings from the environment, some overridden."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from stream.settings import Settings


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Pass `settings` to a command, and give it the options `--broker` and `--prefix`."""

    @click.option("--broker", help="Kafka bootstrap servers; default: FRESHRANK_BROKER.")
    @click.option("--prefix", help="Prefix of the topic names; default: FRESHRANK_PREFIX.")
    @wraps(command)
    def wrapped(broker: str | None, prefix: str | None, **options: Any) -> None:
        settings = Settings.from_env(os.environ)
        settings = replace(
            settings,
            broker=settings.broker if broker is None else broker,
            prefix=settings.prefix if prefix is None else prefix,
        )
        command(settings=settings, **options)

    return wrapped
