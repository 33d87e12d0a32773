"""The pytest plugin: fixtures for servers and clients.

It is not part of the package `daytime`, and imports that package only when a test uses a fixture.
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
    """A function that returns started servers. It takes the arguments of daytime.Server; the default is a free port of
    127.0.0.1. The servers are stopped at the end of the test.
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
    """A started server on a free port, a new one for each test. `@pytest.mark.daytime(clock=...)` has its settings; the
    nearest mark overrides the others.
    """
    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers("daytime"):
        if mark.args:
            raise pytest.UsageError("@pytest.mark.daytime takes the keywords of daytime.Server only")
        settings = mark.kwargs | settings
    return make_daytime_server(**settings)


@pytest.fixture
def daytime_client(daytime_server: daytime.Server) -> Iterator[daytime.Client]:
    """A client that is connected to daytime_server."""
    import daytime

    with daytime.connect(*daytime_server.address) as client:
        yield client
