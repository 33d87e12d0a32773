"""The client for asyncio."""

import asyncio
import datetime as dt
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack

import daytime
import pytest
from daytime import AsyncClient
from support import Original

Make = Callable[..., daytime.Server]


def test_asks(make_daytime_server: Make) -> None:
    moment = dt.datetime(2026, 11, 22, 15, 44, 57, tzinfo=dt.UTC)
    server = make_daytime_server(clock=moment, timezone="UTC", date_format="%F")

    async def main() -> None:
        async with await AsyncClient.connect(*server.address) as client:
            assert client.greeting == "Welcome to the server"
            assert client.peer == server.address
            assert await client.datetime() == moment
            assert await client.day() == "Sunday"
            assert await client.date() == moment.date()
            assert await client.time("Asia/Tokyo") == dt.time(0, 44, 57)
            assert await client.timestamp() == moment.timestamp()
            assert await client.request("date") == "2026-11-22"
            with pytest.raises(daytime.CommandError, match="unknown time zone"):
                await client.time("Mars/Olympus")
            for question in ("", "a\nb", "quit", "x" * 1025):
                with pytest.raises(ValueError, match="the command"):
                    await client.request(question)
            assert await client.request("help")
        assert client.closed
        assert repr(client).endswith("closed>")
        await client.aclose()
        with pytest.raises(daytime.StateError):
            await client.day()

    asyncio.run(main(), debug=True)


def test_streams_that_the_caller_opened(daytime_server: daytime.Server) -> None:
    async def main() -> None:
        client = AsyncClient(*await asyncio.open_connection(*daytime_server.address))
        with pytest.raises(daytime.StateError):
            await client.day()
        async with client:
            assert await client.day()

    asyncio.run(main())


def test_an_original_server() -> None:
    async def main(address: tuple[str, int]) -> None:
        async with await AsyncClient.connect(*address) as client:
            assert await client.datetime() == dt.datetime(2026, 11, 22, 15, 44, 57)
            assert await client.day() == "Sunday"
            with pytest.raises(daytime.CommandError):
                await client.timestamp()

    with Original() as original:
        asyncio.run(main(original.address))


def test_errors(make_daytime_server: Make) -> None:
    server = make_daytime_server(max_clients=1, commands={"slow": lambda request: str(threading.Event().wait(0.3))})

    async def main() -> None:
        async with await AsyncClient.connect(*server.address) as client:
            with pytest.raises(daytime.ServerClosed, match="The server is full"):
                await AsyncClient.connect(*server.address)
            with pytest.raises(daytime.RequestTimeout) as late:
                await client.request("slow", timeout=0.05)
            assert late.value.timeout == 0.05
            assert client.closed
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(daytime.RequestTimeout):
            await AsyncClient.connect(*silent.getsockname(), timeout=0.1)
        with pytest.raises(OverflowError):
            await AsyncClient.connect(port=70000)
        with pytest.raises(ConnectionRefusedError):
            await AsyncClient.connect("127.0.0.1", 1)
        for timeout in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="must be longer than zero"):
                await AsyncClient.connect(timeout=timeout)

    asyncio.run(main())


def test_a_stopped_server(make_daytime_server: Make) -> None:
    server = make_daytime_server()

    async def main() -> None:
        async with await AsyncClient.connect(*server.address) as client:
            await asyncio.to_thread(server.stop)
            with pytest.raises(daytime.ServerClosed):
                await client.day()
            assert client.closed

    asyncio.run(main())


def test_unix_sockets(make_daytime_server: Make) -> None:
    async def main(server: daytime.Server) -> None:
        async with await AsyncClient.connect(*server.address) as client:
            assert client.peer == server.address
            assert await client.datetime("UTC")
            assert client.peer.host in repr(client)
        with pytest.raises(ValueError, match="too long"):
            await AsyncClient.connect("unix:" + "x" * 108)
        with pytest.raises(FileNotFoundError):
            await AsyncClient.connect("unix:/no/such/socket")

    with tempfile.TemporaryDirectory() as directory:
        for host in (f"unix:{directory}/socket", f"unix:@daytime-{os.getpid()}-asyncio"):
            asyncio.run(main(make_daytime_server(host)), debug=True)


def test_a_full_queue_is_waited_for() -> None:
    host = f"unix:@daytime-{os.getpid()}-queue"
    server = daytime.Server(host, backlog=1)

    def fill(waiting: ExitStack) -> None:
        while True:
            sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            sock.connect("\0" + host.removeprefix("unix:@"))

    async def main() -> None:
        with pytest.raises(daytime.RequestTimeout):
            await AsyncClient.connect(host, timeout=0.05)
        connecting = asyncio.create_task(AsyncClient.connect(host))
        await asyncio.sleep(0)
        assert not connecting.done()
        server.start()
        async with await connecting as client:
            assert await client.day()

    with ExitStack() as waiting:
        waiting.callback(server.stop)
        with pytest.raises(BlockingIOError):
            fill(waiting)
        asyncio.run(main())


def test_tasks_take_turns(make_daytime_server: Make) -> None:
    server = make_daytime_server(commands={"echo": lambda request: request.argument})

    async def main() -> None:
        async with await AsyncClient.connect(*server.address) as client:
            replies = await asyncio.gather(*(client.request(f"echo {n}") for n in range(100)))
            assert replies == [str(n) for n in range(100)]

    asyncio.run(main())


def test_a_cancellation_never_shifts_answers(make_daytime_server: Make) -> None:
    """After a cancelled request, the next one gets its reply, or the client is closed."""
    server = make_daytime_server(commands={"echo": lambda request: request.argument})
    outcomes = set()

    async def main() -> None:
        for after in range(60):
            client = await AsyncClient.connect(*server.address)
            task = asyncio.create_task(client.request("echo first"))
            for _ in range(after % 12):
                await asyncio.sleep(0)
            await asyncio.sleep(after * 1e-5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            try:
                assert await client.request("echo second") == "second"
                outcomes.add("answered")
            except daytime.StateError:
                assert client.closed
                outcomes.add("closed")
            await client.aclose()

    asyncio.run(main())
    assert "closed" in outcomes


def test_the_loop_ends_while_a_client_is_open(daytime_server: daytime.Server) -> None:
    async def main() -> None:
        client = await AsyncClient.connect(*daytime_server.address)
        waiting = asyncio.create_task(client.request("day"))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await client.aclose()

    asyncio.run(main())
