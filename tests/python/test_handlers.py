"""Custom commands in Python."""

import gc
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import daytime
import pytest
from support import eventually

Make = Callable[..., daytime.Server]


def test_decorated_and_called_with_a_request() -> None:
    server = daytime.Server("127.0.0.1", 0)

    @server.command("Echo")
    def echo(request: daytime.Request) -> str:
        assert threading.current_thread().name == "daytime-handler"
        return f"{request.command} {request.argument!r} {request.peer.host} {request.client}"

    assert echo.__name__ == "echo"
    server.command("bye", lambda request: None)
    with pytest.raises(ValueError, match="taken"):
        server.command("ECHO", lambda request: "")
    with pytest.raises(TypeError, match="callable"):
        server.command("five", 5)  # type: ignore[call-overload]
    with server:
        assert daytime.request("help", *server.address).endswith("echo, bye")
        with daytime.connect(*server.address) as client:
            assert client.request("echo  a  b ") == "echo 'a  b' 127.0.0.1 2"
            assert client.request("echo") == "echo '' 127.0.0.1 2"
            with pytest.raises(daytime.ServerClosed):
                client.request("bye")


def failed(events: Iterator[daytime.Event]) -> daytime.CommandFailed:
    return next(event for event in events if isinstance(event, daytime.CommandFailed))


def test_a_request() -> None:
    peer = daytime.Address("192.0.2.1", 7)
    request = daytime.Request("echo", "a", peer, 3, state=[1])
    assert (request.command, request.argument, request.peer, request.client, request.state) == (
        "echo",
        "a",
        peer,
        3,
        [1],
    )
    assert not request.is_cancelled
    match request:
        case daytime.Request(command, argument, (host, _), client):
            assert (command, argument, host, client) == ("echo", "a", "192.0.2.1", 3)
    assert repr(request) == f"Request(command='echo', argument='a', peer={peer!r}, client=3)"
    copy = pickle.loads(pickle.dumps(request))
    assert (repr(copy), copy.state) == (repr(request), None)
    with pytest.raises(AttributeError):
        request.command = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (b"bytes", TypeError),
        (5, TypeError),
        (ValueError(), TypeError),
        ("", ValueError),
        ("x" * 1024, ValueError),
        ("The command failed", ValueError),
        ("\ud800", UnicodeEncodeError),
    ],
)
def test_wrong_returns(make_daytime_server: Make, unraisable: list[BaseException], returned: Any, error: type) -> None:
    server = make_daytime_server(commands={"wrong": lambda request: returned})
    with daytime.connect(*server.address) as client:
        with pytest.raises(daytime.CommandError, match="The command failed"):
            client.request("wrong")
        assert client.request("day")  # it lives
    server.stop()
    assert [type(caught) for caught in unraisable] == [error]


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(3), KeyboardInterrupt()])
def test_raising(make_daytime_server: Make, unraisable: list[BaseException], error: BaseException) -> None:
    def fail(request: daytime.Request) -> str:
        raise error

    server = make_daytime_server(commands={"fail": fail})
    events = server.events()
    with daytime.connect(*server.address) as client, pytest.raises(daytime.CommandError, match="The command failed"):
        client.request("fail")
    assert type(error).__name__ in failed(events).error
    server.stop()
    assert unraisable == [error]


def test_a_sleeping_handler_delays_its_own_client_alone(make_daytime_server: Make) -> None:
    awake = threading.Event()
    server = make_daytime_server(commands={"sleep": lambda request: str(awake.wait(10))})
    with daytime.connect(*server.address) as sleeper, daytime.connect(*server.address) as other:
        thread = threading.Thread(target=lambda: answers.append(sleeper.request("sleep")))
        answers: list[str] = []
        thread.start()
        for _ in range(20):
            assert other.request("day")
        assert answers == []
        awake.set()
        thread.join()
        assert answers == ["True"]


def test_many_at_a_time(make_daytime_server: Make) -> None:
    together = threading.Barrier(8)
    server = make_daytime_server(handler_threads=8, commands={"meet": lambda request: str(together.wait(10) >= 0)})
    threads = [threading.Thread(target=daytime.request, args=("meet", *server.address)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_handler_may_use_its_server(make_daytime_server: Make) -> None:
    def look(request: daytime.Request) -> str:
        assert not server.wait(10)
        server.set_clock(None)
        (info,) = server.clients()
        return f"{info.client_id}"

    def stop(request: daytime.Request) -> str:
        began = time.monotonic()
        server.stop()  # does not wait for itself
        assert time.monotonic() - began < 1
        return "stopped"

    server = make_daytime_server(commands={"look": look, "stop": stop})
    with daytime.connect(*server.address) as client:
        assert client.request("look") == "1"
        with pytest.raises(daytime.ServerClosed):
            client.request("stop")
    assert server.wait(5)


def test_one_that_disconnects_its_client(make_daytime_server: Make) -> None:
    server: daytime.Server = make_daytime_server(
        commands={"kick": lambda request: str(server.disconnect(request.client))}
    )
    with daytime.connect(*server.address) as client, pytest.raises(daytime.ServerClosed):
        client.request("kick")


def test_one_that_frees_its_server(recwarn: pytest.WarningsRecorder) -> None:
    servers = [daytime.Server("127.0.0.1", 0)]

    @servers[0].command("free")
    def free(request: daytime.Request) -> str:
        servers.clear()
        gc.collect()
        return "free"

    servers[0].start()
    gone = weakref.ref(servers[0])
    with daytime.connect(*servers[0].address) as client, pytest.raises(daytime.ServerClosed):
        client.request("free")
    eventually(lambda: gone() is None)
    assert [warning.category for warning in recwarn] == [ResourceWarning]


def test_one_that_asks_its_own_server(make_daytime_server: Make) -> None:
    def ask(request: daytime.Request) -> str:
        depth = int(request.argument)
        return daytime.request(f"ask {depth - 1}", *server.address) + "." if depth else "."

    server: daytime.Server = make_daytime_server(commands={"ask": ask})
    assert daytime.request("ask 3", *server.address) == "...."


def test_a_request_is_cancelled_when_its_client_leaves(make_daytime_server: Make) -> None:
    begun, left, seen = threading.Event(), threading.Event(), threading.Event()

    def look(request: daytime.Request) -> str:
        assert not request.is_cancelled
        begun.set()
        assert left.wait(10)
        eventually(lambda: request.is_cancelled)
        seen.set()
        return "nobody reads this"

    server = make_daytime_server(commands={"look": look})
    client = daytime.connect(*server.address, timeout=10)

    def ask() -> None:
        with pytest.raises(daytime.ServerClosed):
            client.request("look")

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(10)
    assert server.disconnect(1)
    left.set()
    assert seen.wait(10)
    thread.join()


# Errors for the client


def test_reply_error(make_daytime_server: Make, unraisable: list[BaseException]) -> None:
    class Odd(daytime.ReplyError):
        def __str__(self) -> str:
            return "odd"

    def fail(request: daytime.Request) -> str:
        raise Odd if request.argument == "odd" else daytime.ReplyError(f"no player named {request.argument!r}")

    server = make_daytime_server(commands={"score": fail})
    events = server.events(commands=True)
    with daytime.connect(*server.address) as client:
        with pytest.raises(daytime.CommandError, match=r"^score Ada: no player named 'Ada'$") as caught:
            client.request("score Ada")
        assert caught.value.reply == "no player named 'Ada'"
        (error,) = client.pipeline(["score odd"])
        assert isinstance(error, daytime.CommandError)
        assert error.reply == "odd"
    server.stop()
    assert unraisable == []
    assert [type(event).__name__ for event in events] == [
        "Connected", "CommandServed", "CommandServed", "CommandServed", "Disconnected"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "two\nlines", "x" * 1004])
def test_an_invalid_reply_error(make_daytime_server: Make, unraisable: list[BaseException], text: str) -> None:
    def fail(request: daytime.Request) -> str:
        raise daytime.ReplyError(text)

    server = make_daytime_server(commands={"fail": fail})
    events = server.events()
    with daytime.connect(*server.address) as client, pytest.raises(daytime.CommandError) as caught:
        client.request("fail")
    assert caught.value.reply == "The command failed"
    assert "ValueError: the error of" in failed(events).error
    server.stop()
    (error,) = unraisable
    assert isinstance(error.__cause__, daytime.ReplyError)


# Deferred replies


def test_deferred() -> None:
    waiting: list[daytime.Responder] = []
    server = daytime.Server("127.0.0.1", 0)

    @server.command_deferred("later")
    def later(request: daytime.Request, responder: daytime.Responder) -> None:
        waiting.append(responder)

    server.command_deferred("now", lambda request, responder: responder.reply(request.argument))
    server.command_deferred("no", lambda request, responder: responder.error("not " + request.argument))
    server.command_deferred("bye", lambda request, responder: responder.reply(None))
    with server, daytime.connect(*server.address) as client, daytime.connect(*server.address) as other:
        assert client.request("now x") == "x"
        assert client.pipeline([f"now {n}" for n in range(100)]) == [str(n) for n in range(100)]
        with pytest.raises(daytime.CommandError, match="not x"):
            client.request("no x")
        replies: list[str] = []
        thread = threading.Thread(target=lambda: replies.append(client.request("later")))
        thread.start()
        eventually(lambda: bool(waiting))
        (responder,) = waiting
        assert repr(responder) == f'<daytime.Responder of "later" for client {responder.client}>'
        assert not responder.is_cancelled
        for wrong, error in [
            (5, TypeError),
            ("", ValueError),
            ("a\nb", ValueError),
            ("The command failed", ValueError),
        ]:
            with pytest.raises(error):
                responder.reply(wrong)  # type: ignore[arg-type]
        for wrong, error in [(None, TypeError), ("", ValueError)]:
            with pytest.raises(error):
                responder.error(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            responder.fail(5)  # type: ignore[arg-type]
        assert other.request("now y") == "y"
        assert replies == []
        responder.reply("at last")
        thread.join()
        assert replies == ["at last"]
        for again in (responder.reply, responder.error, responder.fail):
            with pytest.raises(daytime.StateError, match="replied before"):
                again("x")
        assert responder.is_cancelled
        with pytest.raises(daytime.ServerClosed):
            client.request("bye")


def test_deferred_failures(unraisable: list[BaseException]) -> None:
    kept: list[daytime.Responder] = []
    server = daytime.Server("127.0.0.1", 0)
    server.command_deferred("drop", lambda request, responder: None)
    server.command_deferred("text", lambda request, responder: responder.fail("why"))
    server.command_deferred("exception", lambda request, responder: responder.fail(KeyError("why")))
    server.command_deferred("refuse", lambda request, responder: responder.fail(daytime.ReplyError("refused")))

    @server.command_deferred("raise")
    def fail(request: daytime.Request, responder: daytime.Responder) -> None:
        kept.append(responder)
        raise ZeroDivisionError("why")

    @server.command_deferred("late")
    def late(request: daytime.Request, responder: daytime.Responder) -> None:
        responder.reply("in time")
        raise ZeroDivisionError("late")

    with server:
        events = server.events()
        with daytime.connect(*server.address) as client:
            for command, text in [("drop", "dropped"), ("text", "why"), ("exception", "KeyError"), ("raise", "Zero")]:
                with pytest.raises(daytime.CommandError, match="The command failed"):
                    client.request(command)
                assert text in failed(events).error
            with pytest.raises(daytime.CommandError, match="refused"):
                client.request("refuse")
            assert client.request("late") == "in time"
            assert client.request("day")
    with pytest.raises(daytime.StateError):
        kept[0].reply("too late")
    assert [type(error) for error in unraisable] == [KeyError, ZeroDivisionError, ZeroDivisionError]


@pytest.mark.parametrize("end", ["drain", "stop"])
def test_a_drain_waits_for_deferred_replies_and_a_stop_does_not(end: str) -> None:
    waiting: list[daytime.Responder] = []
    replies: list[str] = []
    server = daytime.Server("127.0.0.1", 0)
    server.command_deferred("later", lambda request, responder: waiting.append(responder))
    with server, daytime.connect(*server.address, timeout=30) as client:

        def ask() -> None:
            try:
                replies.append(client.request("later"))
            except daytime.ServerClosed:
                replies.append("closed")

        thread = threading.Thread(target=ask)
        thread.start()
        eventually(lambda: bool(waiting))
        if end == "drain":
            server.drain(30)
            assert not waiting[0].is_cancelled
        else:
            server.stop()
            assert waiting[0].is_cancelled
        waiting[0].reply("replied")
        thread.join()
        assert server.wait(5)
    assert replies == ["replied" if end == "drain" else "closed"]


# Usages, hooks, states


def test_usage() -> None:
    server = daytime.Server("127.0.0.1", 0)
    server.command("score", lambda request: "3", usage="score NAME")

    @server.command_deferred("Play", usage="play CARD")
    def play(request: daytime.Request, responder: daytime.Responder) -> None:
        responder.reply("played")

    for usage in ("", "other NAME", "scores", "wrong\n", "wrong " + "x" * 1100):
        with pytest.raises(ValueError, match="usage"):
            server.command("wrong", lambda request: "", usage=usage)
    with pytest.raises(TypeError):
        server.command("wrong", lambda request: "", usage=5)  # type: ignore[call-overload]
    server.command("wrong", lambda request: "right")  # no wrong usage has added it
    with server, daytime.connect(*server.address) as client:
        assert client.request("help").endswith("quit, exit, score NAME, play CARD, wrong")
        assert client.request("help play") == "play CARD"
        assert client.request("play") == "played"
        assert client.request("wrong") == "right"


class Counter:
    def __init__(self) -> None:
        self.count = 0


def test_states_and_hooks() -> None:
    seen: list[object] = []
    left = threading.Semaphore(0)
    server = daytime.Server("127.0.0.1", 0)

    @server.on_connect
    def connected(client: daytime.ClientContext) -> Counter:
        assert threading.current_thread().name == "daytime-handler"
        seen.append(client.client)
        return Counter()

    @server.on_disconnect
    def disconnected(client: daytime.ClientContext, reason: str, state: Counter) -> None:
        seen.append((client.client, client.peer.host, reason, state.count))
        left.release()

    @server.command("count")
    def count(request: daytime.Request) -> str:
        request.state.count += 1
        return str(request.state.count)

    for wrong in (server.on_connect, server.on_disconnect):
        with pytest.raises(TypeError, match="must be callable, got int"):
            wrong(5)  # type: ignore[type-var]
    with server:
        with daytime.connect(*server.address) as one, daytime.connect(*server.address) as two:
            assert [one.request("count"), one.request("count"), two.request("count")] == ["1", "2", "1"]
            two.close()
            assert left.acquire(timeout=10)
        assert left.acquire(timeout=10)
        open_one = daytime.connect(*server.address)
        assert open_one.request("count") == "1"
        with pytest.raises(daytime.StateError, match="before the server starts"):
            server.on_connect(connected)
    assert left.acquire(timeout=10)
    open_one.close()
    assert seen == [1, 2, (2, "127.0.0.1", "quit", 1), (1, "127.0.0.1", "quit", 2), 3, (3, "127.0.0.1", "shutdown", 1)]


def test_hooks_that_fail(make_daytime_server: Make, unraisable: list[BaseException]) -> None:
    left = threading.Event()

    def connected(client: daytime.ClientContext) -> None:
        raise daytime.ReplyError("not for the client")

    def disconnected(client: daytime.ClientContext, reason: str, state: object) -> None:
        left.set()
        raise KeyError(reason)

    server = make_daytime_server(
        on_connect=connected, on_disconnect=disconnected, commands={"state": lambda request: repr(request.state)}
    )
    events = server.events()
    assert daytime.request("state", *server.address) == "None"
    assert left.wait(10)
    server.stop()
    assert [event.command for event in events if isinstance(event, daytime.CommandFailed)] == [
        "on_connect",
        "on_disconnect",
    ]
    assert [type(error) for error in unraisable] == [daytime.ReplyError, KeyError]


def test_states_are_dropped_without_a_hook_and_seen_by_the_garbage_collector() -> None:
    states: list[weakref.ref[Counter]] = []

    def connected(client: daytime.ClientContext) -> Counter:
        state = Counter()
        state.server = owners[0]  # type: ignore[attr-defined]
        states.append(weakref.ref(state))
        return state

    server = daytime.Server("127.0.0.1", 0, on_connect=connected, commands={"x": lambda request: "y"})
    owners = [server]
    server.start()
    for _ in range(10):
        assert daytime.request("x", *server.address) == "y"
    eventually(lambda: all(state() is None for state in states))
    client = daytime.connect(*server.address)
    assert client.request("x") == "y"
    assert states[-1]() is not None
    owners.clear()
    with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031
        del server

        def collected() -> bool:
            gc.collect()
            return states[-1]() is None

        eventually(collected)
    client.close()
