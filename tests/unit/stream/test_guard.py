"""Who is answered over HTTP: an application made with the worker's options, asked by a test client."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream.guard import BODY_BYTES, web_options

TOKEN = "s3cret"


async def _status(token: str, path: str, authorization: str | None, body: bytes | None, chunks: int) -> int:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(**web_options(token))
    for known in ("/healthz", "/readyz", "/metrics"):
        app.router.add_get(known, page)
    headers = {} if authorization is None else {"Authorization": authorization}
    data = _chunks(chunks) if chunks else body
    async with TestClient(TestServer(app)) as client, client.get(path, headers=headers, data=data) as answer:
        return answer.status


async def _chunks(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b"x"


def status(
    token: str, path: str, authorization: str | None = None, body: bytes | None = None, chunks: int = 0
) -> int:
    """The status of an answer to a request with a body of known length, or in chunks, or none."""
    return asyncio.run(_status(token, path, authorization, body, chunks))


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_answered_to_everybody(path: str) -> None:
    assert status(TOKEN, path) == 200


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
def test_all_else_asks_for_the_token(authorization: str | None) -> None:
    assert status(TOKEN, "/metrics", authorization) == 401


@pytest.mark.parametrize("path", ["/metrics"])
def test_the_token_opens(path: str) -> None:
    assert status(TOKEN, path, f"Bearer {TOKEN}") == 200
    assert status(TOKEN, path, f"bearer  {TOKEN}") == 200


def test_what_is_not_there_is_not_told_to_strangers() -> None:
    assert status(TOKEN, "/table") == 401
    assert status(TOKEN, "/table", f"Bearer {TOKEN}") == 404


def test_without_a_token_nothing_is_asked() -> None:
    assert status("", "/metrics") == 200


def test_bytes_that_are_no_text_are_nobodys_token() -> None:
    async def first_line() -> bytes:
        async with TestServer(web.Application(**web_options(TOKEN))) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer s3cret\xff\r\n\r\n")
            answer = await reader.readline()
            writer.close()
            return answer

    assert b" 401 " in asyncio.run(first_line())


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_body_that_is_large_or_does_not_say_how_large_is_refused(token: str) -> None:
    assert status(token, "/healthz", body=b"x" * BODY_BYTES) == 200
    assert status(token, "/healthz", body=b"x" * (BODY_BYTES + 1)) == 413
    assert status(token, "/healthz", chunks=2) == 413
