"""PURE: settings as frozen dataclasses, parsed once from an environment that is passed in."""

from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, Final, TypeVar

from schemas.errors import SettingsError

ENV_PREFIX: Final = "FRESHRANK_"

_TRUTH: Final = {"true": True, "false": False}

T = TypeVar("T")


def setting(default: Any, description: str, *, secret: bool = False) -> Any:
    """A field whose description the README's table shows; a secret one is in no repr and no error."""
    return field(default=default, repr=not secret, metadata={"help": description})


def variable(name: str) -> str:
    """Return the environment variable of a field.

    >>> variable("web_port")
    'FRESHRANK_WEB_PORT'
    """
    return ENV_PREFIX + name.upper()


def parse(kind: type[T], environ: Mapping[str, str]) -> T:
    """Make settings of the variables that are there; one that is absent leaves the default.

    Raises:
        SettingsError: naming the variable, what was expected and what it holds.
    """
    given = {
        spec: environ[variable(spec.name)]
        for spec in fields(kind)  # type: ignore[arg-type]
        if variable(spec.name) in environ
    }
    return kind(**{spec.name: _value(spec, text) for spec, text in given.items()})


def to_env(settings: Any) -> dict[str, str]:
    """Return the variables from which `parse` makes these settings: what a child process is given."""
    return {variable(spec.name): _text(getattr(settings, spec.name)) for spec in fields(settings)}


def require(settings: Any, name: str, holds: bool, expected: str) -> None:
    """Raise SettingsError unless it holds, with the field's value, if that is no secret."""
    if holds:
        return
    spec = next(spec for spec in fields(settings) if spec.name == name)
    actual = repr(_text(getattr(settings, name))) if spec.repr else "another value"
    raise SettingsError(f"{variable(name)}: expected {expected}, got {actual}")


def _value(spec: Field[Any], text: str) -> Any:
    kind: type[Any] = type(spec.default)
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return _TRUTH[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise SettingsError(f"{variable(spec.name)}: expected {expected}, got {text!r}") from None


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
