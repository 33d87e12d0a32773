"""The blocking client."""

import datetime as dt
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import daytime
import pytest
from daytime._daytime import parse_datetime, parse_next_transition, parse_timestamp, parse_tz
from support import Original


def test_typed_replies(daytime_client: daytime.Client) -> None:
    now = daytime_client.datetime("UTC")
    assert abs(now - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)
    assert daytime_client.day("UTC") in (f"{now:%A}", f"{now + dt.timedelta(minutes=1):%A}")
    assert isinstance(daytime_client.time(), dt.time)
    assert repr(daytime_client) == f"<daytime.Client 127.0.0.1:{daytime_client.peer.port}>"
    with pytest.raises(daytime.CommandError) as caught:
        daytime_client.time("Mars/Olympus")
    assert caught.value.command in ("datetime Mars/Olympus", "time Mars/Olympus")
    assert caught.value.reply == "You entered an unknown time zone"
    assert not daytime_client.closed


def test_invalid_commands(daytime_client: daytime.Client) -> None:
    for command in ("", " ", "a\nb", "x" * 1025, "quit", "EXIT "):
        with pytest.raises(ValueError, match="the command"):
            daytime_client.request(command)
    with pytest.raises(UnicodeEncodeError):
        daytime_client.request("\ud800")
    with pytest.raises(daytime.CommandError, match="nonsense: You entered an invalid command"):
        daytime_client.request("nonsense")
    replies = daytime_client.pipeline(["day UTC", "nonsense", "", "timestamp"])
    assert [type(reply) for reply in replies] == [str, daytime.CommandError, ValueError, str]


def test_an_original_server() -> None:
    with Original() as original, daytime.connect(*original.address) as client:
        assert client.greeting == "Welcome to the server"
        assert client.datetime() == dt.datetime(2026, 11, 22, 15, 44, 57)
        assert client.datetime().tzinfo is None
        assert client.day() == "Sunday"
        with pytest.raises(daytime.CommandError) as caught:
            client.timestamp()
        assert (caught.value.command, caught.value.reply) == ("timestamp", "You entered an invalid command")
        assert not client.closed


def test_timestamp_and_offsets(make_daytime_server: Callable[..., daytime.Server]) -> None:
    moment = dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    server = make_daytime_server(clock=moment, timezone="-03:30")
    with daytime.connect(*server.address) as client:
        assert client.timestamp() == -1
        assert client.datetime().utcoffset() == dt.timedelta(hours=-3, minutes=-30)
        assert client.datetime("UTC").tzinfo is dt.UTC
        assert client.datetime("UTC") == moment


def test_zones_for_devices(make_daytime_server: Callable[..., daytime.Server]) -> None:
    """The string gives the C library the offsets that the server's zone has, before and after its next transition."""
    server = make_daytime_server(clock=dt.datetime(2027, 2, 15, tzinfo=dt.UTC), timezone="Europe/Berlin")
    with daytime.connect(*server.address) as client:
        assert client.tz() == client.tz("europe/berlin") == "CET-1CEST,M3.5.0,M10.5.0/3"
        summer = client.next_transition()
        assert summer == dt.datetime(2027, 3, 28, 1, tzinfo=dt.UTC)
        assert summer.utcoffset() == dt.timedelta(hours=2)
        assert (client.tz("Asia/Tokyo"), client.next_transition("Asia/Tokyo")) == ("JST-9", None)
        assert client.tz("Africa/Casablanca") == "<+00>0"
        with pytest.raises(daytime.CommandError, match="unknown time zone") as caught:
            client.next_transition("Mars/Olympus")
        assert caught.value.command == "next Mars/Olympus"
    for end in ("", "Z", "Z +2:00", "+00:00 +02:00"):
        with pytest.raises(daytime.ProtocolError):
            parse_next_transition(f"2027-03-28T01:00:00{end}")
    for reply in ("", "none", "Sunday", "15:44:57", "26-11-22", "UTC", "<+01", "<+01>", "UTC0 ", "UT0", "<ab>1"):
        with pytest.raises(daytime.ProtocolError):
            parse_tz(reply)


def test_replies_that_python_cannot_represent() -> None:
    """The engine parses the year 0, which a Python datetime cannot have."""
    with pytest.raises(daytime.ProtocolError) as caught:
        parse_datetime("0000-01-01T00:00:00+00:00")
    assert caught.value.line == b"0000-01-01T00:00:00+00:00"
    assert parse_datetime("9999-12-31T23:59:59-23:59").year == 9999
    for reply in ("0x10", "1_000", "+1", ""):
        with pytest.raises(daytime.ProtocolError):
            parse_timestamp(reply)


def test_close_twice_and_use_after(daytime_server: daytime.Server) -> None:
    client = daytime.connect(*daytime_server.address)
    client.close()
    client.close()
    assert client.closed
    assert "closed" in repr(client)
    for use in (client.day, client.__enter__):
        with pytest.raises(daytime.StateError, match="closed"):
            use()


def test_errors_of_connecting() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as caught:
            daytime.connect(*free.getsockname())
        assert caught.value.errno
    with pytest.raises(socket.gaierror):
        daytime.connect("no-such-host.invalid")


def test_a_peer_that_is_silent_or_foreign_or_leaves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with pytest.raises(daytime.RequestTimeout) as late:
            daytime.connect(*address, timeout=0.2)
        assert late.value.timeout == 0.2
        assert isinstance(late.value, TimeoutError)

    def answer(data: bytes) -> None:
        sock, _ = listener.accept()
        sock.sendall(data)
        sock.recv(100)
        sock.close()

    for data, error in [(b"SSH-\xff\n", daytime.ProtocolError), (b"", daytime.ServerClosed)]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=answer, args=(data,))
            thread.start()
            with pytest.raises(error):
                daytime.connect(*listener.getsockname())
            thread.join()


def test_a_late_reply_is_never_returned(make_daytime_server: Callable[..., daytime.Server]) -> None:
    server = make_daytime_server(commands={"slow": lambda request: str(threading.Event().wait(0.4))})
    client = daytime.connect(*server.address)
    with pytest.raises(daytime.RequestTimeout):
        client.request("slow", timeout=0.1)
    assert client.closed
    with pytest.raises(daytime.StateError):
        client.request("day")


def test_fifty_threads_on_one_client(make_daytime_server: Callable[..., daytime.Server]) -> None:
    server = make_daytime_server(commands={"echo": lambda request: request.argument})
    with daytime.connect(*server.address) as client, ThreadPoolExecutor(50) as pool:
        answers = pool.map(lambda n: client.request(f"echo {n}"), range(500))
        assert list(answers) == [str(n) for n in range(500)]
