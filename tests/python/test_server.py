"""The server."""

import copy
import datetime as dt
import errno
import gc
import pickle
import socket
import threading
import time
import weakref
from collections.abc import Callable

import daytime
import pytest
from support import bare, eventually

MOMENT = dt.datetime(2026, 11, 22, 15, 44, 57, tzinfo=dt.UTC)
Make = Callable[..., daytime.Server]


def test_a_server_serves_a_client() -> None:
    with daytime.serve(port=0) as s, daytime.connect(*s.address) as c:
        assert isinstance(c.date(), dt.date)
    assert s.state == "stopped"
    assert c.closed


def test_the_original_client_gets_its_replies(make_daytime_server: Make) -> None:
    server = make_daytime_server(clock=MOMENT, timezone="UTC")
    replies = bare(server.address, "day", "DATE", "time", "nonsense")
    assert replies == [
        "Welcome to the server",
        "Sunday",
        "26-11-22",
        "15:44:57",
        "You entered an invalid command",
    ]


def test_a_port_in_use_raises_in_the_constructor_with_errno(make_daytime_server: Make) -> None:
    server = make_daytime_server()
    with pytest.raises(OSError, match="Address already in use: bind") as caught:
        daytime.Server("127.0.0.1", server.port)
    assert caught.value.errno == errno.EADDRINUSE


def test_states_and_repr() -> None:
    server = daytime.Server("127.0.0.1", 0)
    assert server.port > 0
    assert repr(server).endswith("ready>")
    assert repr(server) == f"<daytime.Server 127.0.0.1:{server.port} ready>"
    with pytest.raises(daytime.StateError):
        server.wait()
    with pytest.raises(daytime.StateError):
        server.events()
    assert server.clients() == []
    assert server.stats().accepted == 0
    server.start()
    assert repr(server).endswith("running clients=0>")
    with pytest.raises(daytime.StateError):
        server.start()
    with pytest.raises(daytime.StateError):
        server.command("late", lambda request: "no")
    assert not server.wait(0)
    server.stop(wait=False)
    assert server.wait(5)
    server.stop()
    server.stop()
    assert server.state == "stopped"
    assert list(server.events()) == []
    with pytest.raises(daytime.StateError), server:
        pass


def test_a_server_may_stop_before_it_starts() -> None:
    server = daytime.Server(port=0)
    server.stop()
    assert server.state == "stopped"
    assert server.wait()
    with pytest.raises(daytime.StateError):
        server.start()


def test_clocks_and_zones(make_daytime_server: Make) -> None:
    server = make_daytime_server(clock=MOMENT, timezone="Asia/Tokyo")
    with daytime.connect(*server.address) as client:
        assert client.datetime() == MOMENT
        assert client.datetime().utcoffset() == dt.timedelta(hours=9)
        assert client.time("UTC") == dt.time(15, 44, 57)
        assert client.day("-03:30") == "Sunday"
        server.set_clock(dt.datetime(2024, 2, 29, 1, 2, 3))  # a naive datetime is the local time of the server
        assert client.date() == dt.date(2024, 2, 29)
        assert client.time() == dt.time(1, 2, 3)
        server.set_clock(dt.timedelta(days=-1))
        now = dt.datetime.now(dt.UTC)
        assert abs(client.datetime() - (now - dt.timedelta(days=1))) < dt.timedelta(seconds=5)
        server.set_clock(None)
        assert abs(client.datetime() - now) < dt.timedelta(seconds=5)
    with pytest.raises(TypeError, match="a clock is a datetime"):
        server.set_clock(12)  # type: ignore[arg-type]
    ready = daytime.Server(port=0, timezone="+05:30")
    ready.set_clock(dt.datetime(2024, 2, 29, 1, 2, 3))
    with ready, daytime.connect(*ready.address) as client:
        assert client.time() == dt.time(1, 2, 3)


def test_settings(make_daytime_server: Make) -> None:
    server = make_daytime_server(
        clock=MOMENT,
        timezone="UTC",
        workers=1,
        greeting="Ahoy",
        framing="line",
        day_format="%a",
        date_format="%F",
        time_format="%R",
        max_clients=1,
        write_timeout=None,
        idle_timeout=60,
        backlog=8,
    )
    with daytime.connect(*server.address) as client:
        assert client.greeting == "Ahoy"
        assert [client.request(c) for c in ("day", "date", "time")] == ["Sun", "2026-11-22", "15:44"]
        assert client.day() == "Sunday"
        with pytest.raises(daytime.ServerClosed, match="The server is full"):
            daytime.connect(*server.address)
        assert server.stats().refused == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"handler_threads": 1025},
        {"backlog": 0},
        {"max_clients": 0},
        {"idle_timeout": 0},
        {"framing": "lines"},
        {"timezone": "Mars/Olympus"},
        {"day_format": "%Q"},
        {"greeting": "a\nb"},
        {"host": "no such host"},
        {"commands": {"day": lambda request: "no"}},
    ],
)
def test_invalid_settings(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        daytime.Server(**({"port": 0} | settings))  # type: ignore[arg-type]


def test_several_addresses() -> None:
    with daytime.serve(listen=["127.0.0.1:0", ("127.0.0.2", 0)]) as server:
        assert [host for host, _ in server.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in server.addresses:
            assert daytime.request("help", *address).startswith("day")


def test_a_socket_is_adopted() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    with daytime.serve(sock=sock) as server:
        assert sock.fileno() == -1
        assert server.address == ("127.0.0.1", port)
        assert daytime.request("day", *server.address)
    with socket.socket(type=socket.SOCK_DGRAM) as wrong, pytest.raises(OSError, match="not supported"):
        daytime.Server(sock=wrong)
    with pytest.raises(TypeError, match=r"socket\.socket"):
        daytime.Server(sock=3)  # type: ignore[arg-type]


def test_events_match(make_daytime_server: Make, unraisable: list[BaseException]) -> None:
    def fail(request: daytime.Request) -> str:
        return "two\nlines"

    server = make_daytime_server(commands={"fail": fail})
    events = server.events(commands=True)
    with daytime.connect(*server.address) as client:
        client.request("timestamp")
        with pytest.raises(daytime.CommandError):
            client.request("fail")
    lines = []
    for event in events:
        match event:
            case daytime.Connected(client=number, peer=(host, _)):
                lines.append(f"connected {number} {host}")
            case daytime.CommandServed(_, command, ok):
                lines.append(f"{command} {ok}")
            case daytime.CommandFailed(command=command, error=error):
                lines.append(f"{command} failed: {error[:10]}")
            case daytime.Disconnected(reason=reason, commands=commands):
                lines.append(f"{reason} {commands}")
                server.stop()
    assert lines == [
        "connected 1 127.0.0.1",
        "timestamp True",
        "fail failed: ValueError",
        "fail False",
        "quit True",
        "quit 3",
    ]


def test_events_end_by_timeout_and_count_lost_events(daytime_server: daytime.Server) -> None:
    began = time.monotonic()
    assert list(daytime_server.events(timeout=0.1)) == []
    assert 0.09 < time.monotonic() - began < 2
    few = daytime_server.events(capacity=1, timeout=0.1)
    for _ in range(3):
        daytime.request("day", *daytime_server.address)
    eventually(lambda: daytime_server.stats().events_dropped == 5)
    assert len(list(few)) == 1
    for capacity in (0, 1 << 40):
        with pytest.raises(ValueError, match="capacity must be between"):
            daytime_server.events(capacity=capacity)


def test_clients_and_disconnect(daytime_server: daytime.Server, daytime_client: daytime.Client) -> None:
    assert daytime_client.day()
    (info,) = daytime_server.clients()
    assert info.peer.host == "127.0.0.1"
    assert info.commands == 1
    assert abs(dt.datetime.now(dt.UTC) - info.connected_at) < dt.timedelta(seconds=5)
    assert not daytime_server.disconnect(info.client_id + 1)
    assert daytime_server.disconnect(info.client_id)
    with pytest.raises(daytime.ServerClosed):
        daytime_client.day()
    assert daytime_client.closed
    with pytest.raises(daytime.StateError):
        daytime_client.day()


def test_stats(daytime_server: daytime.Server, daytime_client: daytime.Client) -> None:
    daytime_client.pipeline(["day", "nonsense"])
    stats = daytime_server.stats()
    assert (stats.clients, stats.accepted, stats.commands, stats.invalid) == (1, 1, 2, 1)
    assert stats.uptime > dt.timedelta(0)
    assert stats.max_clients > 0
    assert (stats.accept_pauses, stats.handler_failures, stats.hook_failures, stats.handlers_waiting) == (0, 0, 0, 0)
    assert stats.by_service["text"] == 1
    assert stats.by_reason["quit"] == 0
    daytime_server.disconnect(daytime_server.clients()[0].client_id)
    assert daytime_server.stats().by_reason["kicked"] == 1


def test_drain(daytime_server: daytime.Server, daytime_client: daytime.Client) -> None:
    daytime_server.drain()
    assert daytime_server.wait(5)
    assert daytime_server.state == "stopped"
    with pytest.raises(daytime.ServerClosed):
        daytime_client.day()


def test_serve_forever_ends_when_another_thread_stops_it() -> None:
    server = daytime.Server(port=0)
    threading.Timer(0.1, server.stop).start()
    server.serve_forever()
    assert server.state == "stopped"


def test_pickling_copying_and_subclassing_fail(daytime_server: daytime.Server, daytime_client: daytime.Client) -> None:
    for thing in (daytime_server, daytime_client):
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot pickle"):
                duplicate(thing)
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Sub", (type(thing),), {})
    assert pickle.loads(pickle.dumps(daytime_server.address)) == daytime_server.address
    error = pickle.loads(pickle.dumps(daytime.CommandError("day", "why")))
    assert (error.command, error.reply) == ("day", "why")


def test_a_server_that_was_not_stopped_warns_and_stops() -> None:
    server = daytime.serve(port=0)
    address = server.address
    with pytest.warns(ResourceWarning, match=r"unclosed <daytime\.Server"):
        del server
    with pytest.raises(OSError, match=r"refused|closed"):
        eventually(lambda: daytime.request("day", *address) == "never")
    with daytime.serve(port=0) as server:
        client = daytime.connect(*server.address)
        with pytest.warns(ResourceWarning, match=r"unclosed <daytime\.Client"):
            del client


def test_a_cycle_through_a_handler_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.server = daytime.Server("127.0.0.1", 0)
            self.server.command("me", self.answer)

        def answer(self, request: daytime.Request) -> str:
            return "me"

    owner = Owner()
    owner.server.start()
    assert daytime.request("me", *owner.server.address) == "me"
    owner_reference = weakref.ref(owner)
    server_reference = weakref.ref(owner.server)
    with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031
        del owner

        def collected() -> bool:
            gc.collect()
            return owner_reference() is None

        eventually(collected)
    assert server_reference() is None


def test_an_exception_in_the_with_block_stops_the_server_and_propagates() -> None:
    with pytest.raises(ZeroDivisionError), daytime.serve(port=0) as server, daytime.connect(*server.address) as client:
        1 / 0  # noqa: B018
    assert server.state == "stopped"
    assert client.closed
