"""Custom commands in Python."""

import threading
import time
from collections.abc import Callable
from typing import Any

import daytime
import pytest

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


@pytest.mark.parametrize(
    ("returned", "error"),
    [(b"bytes", TypeError), (5, TypeError), ("", ValueError), ("x" * 1024, ValueError), ("\ud800", UnicodeEncodeError)],
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
    failed = next(event for event in events if isinstance(event, daytime.CommandFailed))
    assert type(error).__name__ in failed.error
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
