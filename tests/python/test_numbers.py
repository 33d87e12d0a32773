"""Unusual numbers either work or raise ValueError or OverflowError. A number never causes a panic."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import daytime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([0, -1, 1 << 31, 1 << 32, 1 << 63, 1 << 64, -(1 << 63), 10**400, 1e-320, 9e9, 1e300]),
)
REFUSED = (ValueError, OverflowError, TypeError)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(call: Callable[[], Any], number: object) -> None:
    """TypeError is allowed only for a float in place of an int."""
    try:
        made = call()
    except (ValueError, OverflowError):
        return
    except TypeError:
        assert isinstance(number, float)
        return
    except (OSError, daytime.StateError):
        return
    if isinstance(made, daytime.Server | daytime.Client):
        with made:
            pass


@pytest.mark.parametrize("name", ["idle_timeout", "first_command_timeout", "write_timeout", "busy_poll"])
@quick
@given(number=NUMBERS)
def test_durations(name: str, number: Any) -> None:
    attempt(lambda: daytime.Server("127.0.0.1", 0, **{name: number}), number)


@pytest.mark.parametrize("name", ["port", "backlog", "max_clients", "max_clients_per_source"])
@quick
@given(number=NUMBERS.filter(lambda number: not 0 < number < 2048))
def test_counts(name: str, number: Any) -> None:
    keywords: dict[str, Any] = {"host": "127.0.0.1", "port": 0} | {name: number}
    attempt(lambda: daytime.Server(**keywords), number)


@pytest.mark.parametrize("name", ["workers", "handler_threads"])
@pytest.mark.parametrize("number", [0, -1, 1025, 1 << 64, -(1 << 64), 10**400])
def test_numbers_of_threads(name: str, number: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        daytime.Server(port=0, **{name: number})  # type: ignore[arg-type]


@quick
@given(number=NUMBERS)
def test_calls(number: Any, daytime_server: daytime.Server) -> None:
    attempt(lambda: daytime_server.disconnect(number), number)
    attempt(lambda: daytime_server.events(capacity=number if not 1e4 < number < 1e7 else 0), number)
    attempt(lambda: daytime_server.events(timeout=number), number)
    attempt(lambda: daytime_server.wait(number if not number > 0 or number > 1e10 else 0), number)
    if number != number or not 0 < number < 1e-3:
        attempt(lambda: daytime.connect(*daytime_server.address, timeout=number), number)


@quick
@given(clock=st.one_of(st.datetimes(), st.datetimes(timezones=st.timezones()), st.timedeltas()))
def test_clocks(clock: Any, daytime_server: daytime.Server, daytime_client: daytime.Client) -> None:
    try:
        daytime_server.set_clock(clock)
    except (ValueError, OverflowError):
        return
    assert daytime_client.datetime("UTC").tzinfo is not None
    if isinstance(clock, dt.datetime) and clock.tzinfo is not None and 2 < clock.year < 9998:
        # Datetimes of different zones are never equal where one of them is in a fold.
        assert daytime_client.datetime("UTC").timestamp() == clock.replace(microsecond=0).timestamp()


@pytest.mark.parametrize("clock", [dt.timedelta.max, dt.timedelta.min])
def test_a_shift_beyond_the_calendar(daytime_server: daytime.Server, clock: dt.timedelta) -> None:
    with pytest.raises(OverflowError):
        daytime_server.set_clock(clock)
