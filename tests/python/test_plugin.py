"""The pytest plugin, in separate test runs."""

import pytest


def test_fixtures_and_mark(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import datetime as dt
        import pytest

        MOMENT = dt.datetime(2026, 11, 22, 23, 59, 59, tzinfo=dt.timezone.utc)
        pytestmark = pytest.mark.daytime(timezone="UTC", clock=MOMENT)
        ports = []

        def test_client(daytime_server, daytime_client):
            ports.append(daytime_server.port)
            assert daytime_client.datetime() == MOMENT
            daytime_server.set_clock(MOMENT + dt.timedelta(seconds=1))
            assert daytime_client.day() == "Monday"

        @pytest.mark.daytime(timezone="+01:00", commands={"custom": lambda request: "custom"})
        def test_nearest_mark_first(daytime_server, daytime_client):
            assert daytime_client.time() == dt.time(0, 59, 59)
            assert daytime_client.request("custom") == "custom"

        def test_make(make_daytime_server):
            one, two = make_daytime_server(), make_daytime_server(max_clients=1)
            assert one.port != two.port
            one.stop()
    """)
    pytester.runpytest_subprocess("--strict-markers", "-W", "error").assert_outcomes(passed=3)


def test_a_mark_with_positions_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.daytime("UTC")
        def test_it(daytime_server): ...
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes the keywords of daytime.Server only*"])


def test_the_package_is_loaded_only_when_a_test_needs_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_before():
            assert "_daytime_pytest" in sys.modules
            assert "daytime" not in sys.modules

        def test_after(daytime_server):
            assert "daytime" in sys.modules
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
    pytester.runpytest_subprocess("--fixtures").stdout.fnmatch_lines(["daytime_server*", "daytime_client*"])
