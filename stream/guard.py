"""SHELL: who may ask the worker over HTTP, and how much they may send."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""Answered to everybody: whoever restarts or balances workers has no token, and learns nothing else here."""

BODY_BYTES: Final = 65_536
"""Every page is asked for by its address alone; aiohttp bounds that, and its headers, to 8 KiB a line."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def web_options(token: str) -> dict[str, Any]:
    """Return what the worker's aiohttp application is made with.

    Args:
        token: what has to be sent as `Authorization: Bearer TOKEN`; empty: nothing has to.
    """
    return {"client_max_size": BODY_BYTES, "middlewares": [_guard(token)] if token else []}


def is_known(authorization: str, token: str) -> bool:
    """PURE: whether a header carries the token; takes as long for any other of its length.

    >>> is_known("Bearer s3cret", "s3cret"), is_known("Bearer s3cre7", "s3cret"), is_known("", "s3cret")
    (True, False, False)
    """
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _guard(token: str) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN or is_known(request.headers.get("Authorization", ""), token):
            return await handler(request)
        return web.json_response(
            {"error": "expected the header `Authorization: Bearer` with this worker's token"},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    return guard
