"""The log: events as lines, and a logger that gets them."""

import logging
import re

import daytime
import pytest
from support import bare

V4 = daytime.Address("192.0.2.1", 4711)
V6 = daytime.Address("2001:db8::1", 4711)
UNIX = daytime.Address("unix:/run/\u202eclient", 0)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        # The lines of tests/server/events.rs.
        (daytime.Connected(1, V4), "Connection has been established with client IP 192.0.2.1 and port is 4711"),
        (daytime.Connected(1, V6), "Connection has been established with client IP 2001:db8::1 and port is 4711"),
        (daytime.Connected(1, UNIX), "Connection has been established with client unix:/run/\\u202eclient"),
        (
            daytime.Disconnected(1, V6, "no_command", 3),
            "Connection with [2001:db8::1]:4711 has been closed after 3 commands: the first-command timeout passed",
        ),
        (
            daytime.Disconnected(1, V6, "no_command", 1),
            "Connection with [2001:db8::1]:4711 has been closed after 1 command: the first-command timeout passed",
        ),
        (daytime.CommandServed(7, "day", True), "Command of client 7 was answered: day"),
        (daytime.CommandServed(7, "tea", False), "Command of client 7 was an error: tea"),
        (
            daytime.CommandFailed(7, "age", "not\na number"),
            "Command age of client 7 failed: not\\na number",
        ),
        (
            daytime.Refused(V4, "per_source"),
            "Connection from 192.0.2.1:4711 has been refused: too many connections from its address",
        ),
        (
            daytime.AcceptPaused("Too many open files (os error 24)"),
            "Accepting clients is paused, the system lacks file descriptors or memory: "
            "Too many open files (os error 24)",
        ),
    ],
)
def test_the_string_of_an_event_is_a_line(event: daytime.Event, line: str) -> None:
    assert str(event) == line
    assert f"{event}" == line
    assert repr(event).startswith(f"{type(event).__name__}(")


def test_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with daytime.Server("127.0.0.1", 0) as server, caplog.at_level(logging.DEBUG, "daytime"):
        thread = server.log_events(commands=True)
        bare(server.address, "day", "tea", "quit")
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
    records = [record for record in caplog.records if record.name == "daytime"]
    assert [(record.levelname, record.getMessage()) for record in records[1:-1]] == [
        ("DEBUG", "Command of client 1 was answered: day"),
        ("DEBUG", "Command of client 1 was an error: tea"),
        ("DEBUG", "Command of client 1 was answered: quit"),
    ]
    first, last = (vars(record)["event"] for record in (records[0], records[-1]))
    assert isinstance(first, daytime.Connected)
    assert isinstance(last, daytime.Disconnected)
    assert records[0].levelname == records[-1].levelname == "INFO"
    assert records[-1].getMessage().endswith("has been closed after 3 commands: the client quit")


def test_a_failed_command_is_a_warning_of_the_given_logger(
    caplog: pytest.LogCaptureFixture, unraisable: list[BaseException]
) -> None:
    def fails(request: daytime.Request) -> str:
        raise ValueError("out of order")

    logger = logging.getLogger("clock.lan")
    with (
        daytime.Server("127.0.0.1", 0, commands={"fails": fails}) as server,
        caplog.at_level(logging.INFO, "clock.lan"),
    ):
        thread = server.log_events(logger)
        bare(server.address, "fails")
        server.stop()
        thread.join(10)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [(record.name, record.getMessage()) for record in warnings] == [
        ("clock.lan", "Command fails of client 1 failed: ValueError: out of order")
    ]
    assert len(unraisable) == 1


def test_a_server_that_was_not_started_has_no_log() -> None:
    server = daytime.Server("127.0.0.1", 0)
    with pytest.raises(daytime.StateError):
        server.log_events()
    server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1:0", "localhost:9990", "[::1]:13"])
def test_a_port_in_the_host_is_refused_with_the_right_words(host: str) -> None:
    name, _, port = host.rpartition(":")
    expected = f'the host "{host}" has a port; expected host "{name.strip("[]")}" and port {port}'
    for call in (daytime.Server, daytime.Client, daytime.rfc867):
        with pytest.raises(ValueError, match=re.escape(expected)):
            call(host)


def test_a_name_is_not_a_logger() -> None:
    with daytime.Server("127.0.0.1", 0) as server, pytest.raises(TypeError, match=r"logging\.Logger or None, not str"):
        server.log_events("daytime")  # type: ignore[arg-type]
