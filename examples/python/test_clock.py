"""Tests with the fixtures of the pytest plugin, and a network clock that the test sets: `pytest test_clock.py`"""

import datetime as dt
from collections.abc import Callable

import daytime
import pytest

LAST_SECOND = dt.datetime(2026, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


def year_of(address: daytime.Address) -> int:
    """The program under test."""
    with daytime.connect(*address) as client:
        return client.date().year


@pytest.mark.daytime(timezone="UTC", clock=LAST_SECOND)
def test_new_year(daytime_server: daytime.Server) -> None:
    assert year_of(daytime_server.address) == 2026
    daytime_server.set_clock(LAST_SECOND + dt.timedelta(seconds=1))
    assert year_of(daytime_server.address) == 2027


def test_a_full_server(make_daytime_server: Callable[..., daytime.Server]) -> None:
    server = make_daytime_server(max_clients=1)
    with daytime.connect(*server.address), pytest.raises(daytime.ServerClosed, match="The server is full"):
        year_of(server.address)


def test_a_custom_command(make_daytime_server: Callable[..., daytime.Server]) -> None:
    server = make_daytime_server(commands={"moon": lambda request: "waxing"})
    assert daytime.request("moon", *server.address) == "waxing"
