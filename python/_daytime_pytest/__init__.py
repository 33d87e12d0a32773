"""The pytest plugin: a server and a client for each test that asks for them.

It stands outside of the package `daytime`, and imports that only when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import daytime


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "daytime(**settings): the keywords of daytime.Server for the fixture daytime_server"
    )


@pytest.fixture
def make_daytime_server() -> Iterator[Callable[..., daytime.Server]]:
    """A function that starts servers, with the keywords of daytime.Server. The default address is a free port of
    127.0.0.1. The servers are stopped when the test ends.
    """
    import daytime

    with ExitStack() as servers:

        def make(host: str = "127.0.0.1", port: int = 0, **settings: Any) -> daytime.Server:
            return servers.enter_context(daytime.Server(host, port, **settings))

        yield make


@pytest.fixture
def daytime_server(
    request: pytest.FixtureRequest, make_daytime_server: Callable[..., daytime.Server]
) -> daytime.Server:
    """A started server on a free port, fresh for each test. `@pytest.mark.daytime(clock=...)` has its settings; the
    nearest mark has precedence.
    """
    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers("daytime"):
        if mark.args:
            raise pytest.UsageError("@pytest.mark.daytime takes the keywords of daytime.Server only")
        settings = mark.kwargs | settings
    return make_daytime_server(**settings)


@pytest.fixture
def daytime_client(daytime_server: daytime.Server) -> Iterator[daytime.Client]:
    """A client that is connected to the fixture daytime_server."""
    import daytime

    with daytime.connect(*daytime_server.address) as client:
        yield client
