"""Who is answered over HTTP: an application made with the worker's options, asked by a test client."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from stream.guard import web_options

TOKEN = "s3cret"


async def _status(token: str, path: str, authorization: str | None = None) -> int:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application(**web_options(token))
    for known in ("/healthz", "/readyz", "/metrics"):
        app.router.add_get(known, page)
    headers = {} if authorization is None else {"Authorization": authorization}
    async with TestClient(TestServer(app)) as client, client.get(path, headers=headers) as answer:
        return answer.status


def status(token: str, path: str, authorization: str | None = None) -> int:
    return asyncio.run(_status(token, path, authorization))


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
