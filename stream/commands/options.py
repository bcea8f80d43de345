"""SHELL: options that several subcommands share: settings from the environment, some overridden."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from stream.join_settings import REFINEMENTS
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


def with_join(command: Callable[..., None]) -> Callable[..., None]:
    """Pass `join` to a command, how labels are joined and judged, and give it the option `--refine`."""

    @click.option("--refine", help=f"Some of {','.join(REFINEMENTS)}, or ''; default: FRESHRANK_REFINE.")
    @wraps(command)
    def wrapped(refine: str | None, **options: Any) -> None:
        settings = Settings.from_env(os.environ)
        if refine is not None:
            settings = replace(settings, refine=tuple(filter(None, refine.split(","))))
        command(join=settings.join, **options)

    return wrapped
