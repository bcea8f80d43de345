"""SHELL: who may ask the worker over HTTP, and how much they may send."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""Answered to everybody: whoever restarts or balances workers has no token, and learns nothing else here."""

BODY_BYTES: Final = 65_536
"""Every page is asked for by its address alone; aiohttp bounds that, and its headers, to 8 KiB a line.

What is announced to be larger, or of unknown length, is refused unread.
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def web_options(token: str) -> dict[str, Any]:
    """Return what the worker's aiohttp application is made with.

    Args:
        token: what has to be sent as `Authorization: Bearer TOKEN`; empty: nothing has to.
    """
    return {"middlewares": [_limit, *([_guard(token)] if token else [])]}


def is_known(authorization: str, token: str) -> bool:
    """PURE: whether a header carries the token; takes as long for any other of its length.

    >>> is_known("Bearer s3cret", "s3cret"), is_known("Bearer s3cre7", "s3cret"), is_known("", "s3cret")
    (True, False, False)
    """
    scheme, _, given = authorization.partition(" ")
    # A header may hold any bytes; what is not UTF-8 comes as lone surrogates, and is nobody's token.
    known = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    return scheme.lower() == "bearer" and known


@web.middleware
async def _limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a body that is large, or does not say how large it is; no page reads any.

    aiohttp's own limit acts only where a page reads the body; it would read on, and drop, what nobody reads.
    """
    length = request.content_length if request.body_exists else 0
    if length is not None and length <= BODY_BYTES:
        return await handler(request)
    response = web.json_response({"error": f"expected a body of at most {BODY_BYTES} bytes"}, status=413)
    response.force_close()
    return response


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
