"""The client for asyncio."""

import asyncio
import datetime as dt
import os
import socket
import struct
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import TypeVar

import daytime
import pytest
from daytime import AsyncClient, CommandError
from support import Original

Make = Callable[..., daytime.Server]
_Error = TypeVar("_Error", bound=Exception)


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
            assert (await client.tz(), await client.next_transition()) == ("UTC0", None)
            assert await client.tz("Europe/Berlin") == "CET-1CEST,M3.5.0,M10.5.0/3"
            summer = await client.next_transition("Europe/Berlin")
            assert summer is not None
            assert summer.isoformat() == "2027-03-28T03:00:00+02:00"
            with pytest.raises(daytime.CommandError, match="unknown time zone"):
                await client.tz("Mars/Olympus")
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


def test_a_socket_of_the_caller(daytime_server: daytime.Server) -> None:
    async def main() -> None:
        sock = socket.create_connection(daytime_server.address)
        async with await AsyncClient.connect(sock=sock) as client:
            assert client.peer == daytime_server.address
            assert await client.day()
        assert sock.fileno() == -1
        with pytest.raises(daytime.StateError):
            async with client:
                pass
        with pytest.raises(ValueError, match="Stream Socket"), socket.socket(type=socket.SOCK_DGRAM) as sock:
            await AsyncClient.connect(sock=sock)

    asyncio.run(main(), debug=True)


def test_an_original_server() -> None:
    async def main(address: tuple[str, int]) -> None:
        async with await AsyncClient.connect(*address) as client:
            assert await client.datetime() == dt.datetime(2026, 11, 22, 15, 44, 57)
            assert await client.day() == "Sunday"
            with pytest.raises(daytime.CommandError):
                await client.timestamp()
            replies = await client.pipeline(["day", "tea", "date", "quit", "time"])
            assert [str(reply) for reply in replies] == [
                "Sunday",
                "tea: You entered an invalid command",
                "26-11-22",
                'the command "quit" does not have a reply; close the client instead',
                "15:44:57",
            ]

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


class Peer:
    """The server's end of a connection, on which a test writes the replies."""

    def __init__(self, client: AsyncClient, sock: socket.socket) -> None:
        self.client = client
        self.sock = sock
        self.loop = asyncio.get_running_loop()

    async def receive(self, expected: bytes) -> None:
        received = b""
        while len(received) < len(expected):
            data = await self.loop.sock_recv(self.sock, 65536)
            assert data
            received += data
        assert received == expected

    async def end(self) -> None:
        """Waits until the client has closed."""
        while await self.loop.sock_recv(self.sock, 65536):
            pass

    def ask(self, command: str, timeout: float | None = 30) -> "asyncio.Task[str]":
        return asyncio.create_task(self.client.request(command, timeout=timeout))

    def pipe(self, *commands: str, timeout: float | None = 30) -> "asyncio.Task[list[str | CommandError | ValueError]]":
        return asyncio.create_task(self.client.pipeline(commands, timeout=timeout))

    async def answer_without_reading(self, times: int) -> None:
        for _ in range(times):
            asking = self.ask("x" * 1000)
            await asyncio.sleep(0)
            self.sock.send(b"y\n")
            assert await asking == "y"

    async def broken(self, error: type[_Error]) -> _Error:
        """The error of the next request. After it, the client is closed."""
        assert not self.client.closed
        with pytest.raises(error) as caught:
            await self.client.request("day")
        assert self.client.closed
        with pytest.raises(daytime.StateError):
            await self.client.request("day")
        return caught.value


@asynccontextmanager
async def connected_peer(timeout: float | None = 30) -> AsyncIterator[Peer]:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        theirs.send(b"Hi\n")
        client = await AsyncClient.connect(sock=ours, timeout=timeout)
        peer = Peer(client, theirs)
        await peer.receive(b"\n")
        yield peer
        theirs.shutdown(socket.SHUT_RDWR)
        await client.aclose()


def scripted(script: Callable[[Peer], Awaitable[None]], timeout: float | None = 30) -> None:
    async def main() -> None:
        async with connected_peer(timeout) as connected:
            await script(connected)

    asyncio.run(main(), debug=True)


def test_a_pipeline(daytime_server: daytime.Server) -> None:
    """It returns what the blocking client returns."""
    commands = ["date", "", "nonsense", "quit", "x" * 1025, "day " + "x" * 1020, "a\nb", "day UTC", "day Mars", "date"]

    async def main() -> None:
        with daytime.connect(*daytime_server.address) as blocking:
            async with await AsyncClient.connect(*daytime_server.address) as client:
                for repeats in (0, 1, 100):
                    asked = commands * repeats
                    theirs, ours = blocking.pipeline(asked), await client.pipeline(iter(asked), timeout=None)
                    assert list(map(type, ours)) == list(map(type, theirs))
                    assert not any(getattr(reply, "__traceback__", None) for reply in ours)
                    assert list(map(str, ours)) == list(map(str, theirs))
                error = (await client.pipeline(["tea"]))[0]
                assert isinstance(error, CommandError)
                assert (error.command, error.reply) == ("tea", "You entered an invalid command")
                for wrong, raised in ((["day", 1], TypeError), (["day", b"day"], TypeError), (["\ud800"], ValueError)):
                    with pytest.raises(raised):
                        await client.pipeline(wrong)  # type: ignore[arg-type]
                with pytest.raises(ValueError, match="must be longer than zero"):
                    await client.pipeline(["day"], timeout=0)
                assert await client.day()
            with pytest.raises(daytime.StateError):
                await client.pipeline([])

    asyncio.run(main(), debug=True)


def test_a_long_pipeline(make_daytime_server: Make) -> None:
    """The server reads nothing while it owes 64 KiB of replies."""
    server = make_daytime_server(commands={"echo": lambda request: request.argument}, clock=dt.timedelta(0))
    commands = [f"datetime +{n % 14:02}:00" for n in range(30_000)]

    async def main() -> None:
        async with await AsyncClient.connect(*server.address) as client:
            replies = await client.pipeline(commands, timeout=None)
            assert [str(reply)[-6:] for reply in replies] == [command[-6:] for command in commands]
            assert await client.pipeline(f"echo {n}" for n in range(200)) == [str(n) for n in range(200)]

    asyncio.run(main())


def test_a_pipeline_keeps_4_kib_in_flight_and_reads_between() -> None:
    async def script(peer: Peer) -> None:
        commands = [f"echo {'x' * (n % 90)}{n}" for n in range(2000)]
        piping = peer.pipe(*commands)
        unanswered, answered, most = b"", 0, 0
        while answered < len(commands):
            unanswered += await peer.loop.sock_recv(peer.sock, 65536)
            most = max(most, len(unanswered))
            lines = unanswered.split(b"\n")[:-1][:7]
            unanswered = unanswered[sum(len(line) + 1 for line in lines) :]
            answered += len(lines)
            await peer.loop.sock_sendall(peer.sock, b"".join(line[5:] + b"\r\n" for line in lines))
            if answered == len(commands) - unanswered.count(b"\n"):
                await peer.loop.sock_sendall(peer.sock, unanswered.replace(b"echo ", b""))
                break
        assert await piping == [command[5:] for command in commands]
        assert 4000 < most <= 4096

    scripted(script)


def test_a_pipeline_that_breaks_raises() -> None:
    async def closed(peer: Peer) -> None:
        peer.sock.shutdown(socket.SHUT_WR)

    async def not_text(peer: Peer) -> None:
        peer.sock.send(b"\xff\n")

    async def endless(peer: Peer) -> None:
        await peer.loop.sock_sendall(peer.sock, b"x" * 70_000)

    async def nothing(peer: Peer) -> None:
        pass

    async def main() -> None:
        cases: list[tuple[Callable[[Peer], Awaitable[None]], type[Exception]]] = [
            (closed, daytime.ServerClosed),
            (not_text, daytime.ProtocolError),
            (endless, daytime.ProtocolError),
            (nothing, daytime.RequestTimeout),
        ]
        for end, raised in cases:
            async with connected_peer() as connected:
                piping = connected.pipe("day", "day", "day", timeout=0.05 if end is nothing else 30)
                await connected.receive(b"day\nday\nday\n")
                connected.sock.send(b"Sunday\nSunday\n")
                await end(connected)
                with pytest.raises(raised):
                    await piping
                assert connected.client.closed
                await connected.end()
        async with connected_peer() as connected:
            piping = connected.pipe("day")
            await connected.receive(b"day\n")
            connected.sock.send(b"Sunday\n" * 2)
            assert await piping == ["Sunday"]
            assert (await connected.broken(daytime.ProtocolError)).line == b"Sunday\n"

    asyncio.run(main(), debug=True)


def test_a_cancelled_pipeline_closes() -> None:
    async def script(peer: Peer) -> None:
        piping = peer.pipe("day", "day")
        await peer.receive(b"day\nday\n")
        peer.sock.send(b"Sunday\n")
        queued = peer.ask("date")
        await asyncio.sleep(0)
        piping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await piping
        assert peer.client.closed
        with pytest.raises(daytime.StateError):
            await queued
        await peer.end()

    scripted(script)


def test_a_timeout_includes_the_wait_for_other_tasks() -> None:
    async def script(peer: Peer) -> None:
        first = peer.ask("first")
        await peer.receive(b"first\n")
        late, cancelled, last = peer.ask("late", timeout=0.02), peer.ask("cancelled"), peer.ask("last")
        with pytest.raises(daytime.RequestTimeout):
            await late
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not peer.client.closed
        assert len(peer.client._connection._queue) == 1
        peer.sock.send(b"1\n")
        assert await first == "1"
        await peer.receive(b"last\n")
        peer.sock.send(b"2\n")
        assert await last == "2"

    scripted(script)


def test_a_cancellation_when_the_turn_has_come_passes_it_on() -> None:
    async def script(peer: Peer) -> None:
        async def ask_and_cancel_the_next() -> None:
            assert await peer.client.request("first") == "1"
            second.cancel()  # it has the turn already, and has not run

        first = asyncio.create_task(ask_and_cancel_the_next())
        second, third = peer.ask("second"), peer.ask("third")
        await peer.receive(b"first\n")
        peer.sock.send(b"1\n")
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await peer.receive(b"third\n")
        peer.sock.send(b"3\n")
        assert await third == "3"

    scripted(script)


def test_each_request_has_its_own_timeout() -> None:
    """One timer serves all requests of a client. It rings at the deadline of an earlier one, and is set again."""

    async def quick(peer: Peer) -> None:
        asking = peer.ask("quick", timeout=0.2)
        await peer.receive(b"quick\n")
        peer.sock.send(b"1\n")
        assert await asking == "1"

    async def the_timer_has_rung() -> None:
        async with connected_peer() as other:
            with pytest.raises(daytime.RequestTimeout):
                await other.ask("day", timeout=0.3)

    async def patient(peer: Peer) -> None:
        await quick(peer)
        asking = peer.ask("patient")
        await peer.receive(b"patient\n")
        await the_timer_has_rung()
        peer.sock.send(b"2\n")
        assert await asking == "2"
        await late(peer, 0.02)

    async def idle(peer: Peer) -> None:
        await quick(peer)
        await the_timer_has_rung()
        await late(peer, 0.02)

    async def late(peer: Peer, timeout: float) -> None:
        with pytest.raises(daytime.RequestTimeout) as caught:
            await peer.ask("late", timeout)
        assert caught.value.timeout == timeout
        assert peer.client.closed

    async def later(peer: Peer) -> None:
        await quick(peer)
        await late(peer, 0.4)

    for script in (patient, idle, later):
        scripted(script)


def test_bytes_without_a_request_break_the_next_one() -> None:
    async def unread(peer: Peer) -> None:
        peer.sock.send(b"day\n")
        assert (await peer.broken(daytime.ProtocolError)).line == b"day\n"
        await peer.end()

    async def with_a_reply(peer: Peer) -> None:
        asking = peer.ask("day")
        await peer.receive(b"day\n")
        peer.sock.send(b"Sunday\nMonday\nTue")
        assert await asking == "Sunday"
        assert (await peer.broken(daytime.ProtocolError)).line == b"Monday\nTue"

    async def any_number(peer: Peer) -> None:
        with pytest.raises(ConnectionError):  # the client closes as soon as the loop reads them
            await peer.loop.sock_sendall(peer.sock, b"Sunday\n" * 10_000_000)
        assert 0 < len((await peer.broken(daytime.ProtocolError)).line) <= 65536

    async def before_a_pipeline(peer: Peer) -> None:
        asking = peer.ask("day")
        await peer.receive(b"day\n")
        peer.sock.send(b"Sunday\nMonday\n")
        assert await asking == "Sunday"
        with pytest.raises(daytime.ProtocolError):
            await peer.client.pipeline(["", "day"])
        assert peer.client.closed

    for script in (unread, with_a_reply, any_number, before_a_pipeline):
        scripted(script)


def test_the_end_without_a_request_is_reported_by_the_next_one() -> None:
    async def unread(peer: Peer) -> None:
        peer.sock.shutdown(socket.SHUT_WR)
        await peer.broken(daytime.ServerClosed)
        await peer.end()

    async def read(peer: Peer) -> None:
        peer.sock.shutdown(socket.SHUT_WR)
        await peer.end()
        await peer.broken(daytime.ServerClosed)

    async def after_a_reply(peer: Peer) -> None:
        asking = peer.ask("day")
        await peer.receive(b"day\n")
        peer.sock.send(b"Sunday\n")
        peer.sock.shutdown(socket.SHUT_WR)
        assert await asking == "Sunday"
        await peer.broken(daytime.ServerClosed)

    async def in_a_reply(peer: Peer) -> None:
        asking = peer.ask("day")
        await peer.receive(b"day\n")
        peer.sock.send(b"Sun")
        peer.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(daytime.ServerClosed):
            await asking
        assert peer.client.closed

    async def not_reported(peer: Peer) -> None:
        peer.sock.shutdown(socket.SHUT_WR)
        await peer.end()
        await peer.client.aclose()
        assert peer.client.closed

    for script in (unread, read, after_a_reply, in_a_reply, not_reported):
        scripted(script)


def test_a_reset_is_the_end() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for pending in (True, False):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                connecting = asyncio.create_task(AsyncClient.connect(*listener.getsockname()))
                listener.setblocking(False)
                sock, _ = await loop.sock_accept(listener)
            sock.send(b"Hi\n")
            client = await connecting
            assert await loop.sock_recv(sock, 10) == b"\n"
            asking = asyncio.create_task(client.request("day")) if pending else None
            if pending:
                assert await loop.sock_recv(sock, 10) == b"day\n"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            with pytest.raises(daytime.ServerClosed):
                await (asking or client.request("day"))
            await client.aclose()

    asyncio.run(main(), debug=True)


def test_greetings_that_are_none() -> None:
    async def main() -> None:
        cases: list[tuple[bytes, bool | None, type[Exception]]] = [
            (b"", True, daytime.ServerClosed),
            (b"Hi", True, daytime.ProtocolError),
            (b"Hi", None, daytime.ProtocolError),
            (b"\xff\n", False, daytime.ProtocolError),
            (b"x" * 70_000, False, daytime.ProtocolError),
        ]
        for greeting, end, error in cases:
            ours, theirs = socket.socketpair()
            with theirs:
                theirs.sendall(greeting)
                if end:
                    theirs.shutdown(socket.SHUT_WR)
                with pytest.raises(error) as caught:
                    await AsyncClient.connect(sock=ours, timeout=0.2 if end is None else 30)
                if isinstance(caught.value, daytime.ProtocolError):
                    assert caught.value.line == greeting[:65536]

    asyncio.run(main(), debug=True)


def test_silence_ends_the_greeting_of_an_original_server_alone() -> None:
    """Bytes that follow the error line in time belong to the greeting."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            theirs.send(b"HiYou entered an invalid command")
            connecting = asyncio.create_task(AsyncClient.connect(sock=ours, timeout=0.4))
            assert await loop.sock_recv(theirs, 10) == b"\n"
            theirs.send(b"!")
            with pytest.raises(daytime.ProtocolError, match="command!"):
                await connecting

    asyncio.run(main(), debug=True)


def test_a_full_transport_is_waited_for() -> None:
    """asyncio calls pause_writing() and resume_writing() if the server does not read."""

    async def request(peer: Peer) -> None:
        peer.client._connection.pause_writing()
        asking = peer.ask("day")
        await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        peer.client._connection.resume_writing()
        await peer.receive(b"day\n")
        peer.client._connection.pause_writing()
        peer.client._connection.resume_writing()
        assert not asking.done()
        peer.sock.send(b"Sunday\n")
        assert await asking == "Sunday"

    async def pipeline(peer: Peer) -> None:
        command = "x" * 1000
        piping = peer.pipe(*[command] * 6, "")
        await peer.receive(f"{command}\n".encode() * 4)
        peer.client._connection.pause_writing()
        peer.sock.send(b"y\n" * 4)
        with pytest.raises(daytime.RequestTimeout):
            await peer.ask("late", timeout=0.02)
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        peer.client._connection.resume_writing()
        await peer.receive(f"{command}\n".encode() * 2)
        peer.sock.send(b"y\n" * 2)
        assert (await piping)[:-1] == ["y"] * 6

    async def only_an_invalid_one_left(peer: Peer) -> None:
        command = "x" * 1000
        piping = peer.pipe(*[command] * 4, "\n" * 100)
        await peer.receive(f"{command}\n".encode() * 4)
        peer.client._connection.pause_writing()
        peer.sock.send(b"y\n" * 4)
        with pytest.raises(daytime.RequestTimeout):
            await peer.ask("late", timeout=0.02)
        peer.client._connection.resume_writing()
        assert isinstance((await piping)[-1], ValueError)

    async def in_time(peer: Peer) -> None:
        peer.client._connection.pause_writing()
        with pytest.raises(daytime.RequestTimeout):
            await peer.ask("day", timeout=0.02)
        assert peer.client.closed

    for script in (request, pipeline, only_an_invalid_one_left, in_time):
        scripted(script)


def test_a_server_that_answers_and_never_reads_fills_no_memory() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer_without_reading(10)
        with pytest.raises(daytime.ProtocolError):  # the reply to a command that the client did not send
            await peer.answer_without_reading(2000)

    scripted(script)


def test_a_timeout_discards_what_the_server_does_not_read() -> None:
    async def script(peer: Peer) -> None:
        ours = peer.client._connection._transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        await peer.answer_without_reading(60)
        with pytest.raises(daytime.RequestTimeout):
            await peer.ask("late", timeout=0.02)
        await peer.client._connection.wait_closed()
        assert len(await peer.loop.sock_recv(peer.sock, 65536)) < 30_000

    scripted(script)


def test_many_tasks(make_daytime_server: Make) -> None:
    server = make_daytime_server(commands={"echo": lambda request: request.argument})

    async def single(client: AsyncClient, n: int) -> None:
        assert await client.request(f"echo {n}") == str(n)

    async def several(client: AsyncClient, n: int) -> None:
        assert await client.pipeline([f"echo {n}", f"echo {-n}"]) == [str(n), str(-n)]

    async def main() -> None:
        clients = [await AsyncClient.connect(*server.address) for _ in range(5)]
        await asyncio.gather(*((several if n % 3 else single)(clients[n % 5], n) for n in range(1000)))
        await asyncio.gather(*(client.aclose() for client in clients))
        assert all(client.closed for client in clients)

    asyncio.run(main())


def test_aclose_waits_for_its_turn() -> None:
    async def in_time(peer: Peer) -> None:
        asking = peer.ask("day")
        await peer.receive(b"day\n")
        closing = asyncio.create_task(peer.client.aclose())
        again = asyncio.create_task(peer.client.aclose())
        late = peer.ask("late")
        await asyncio.sleep(0)
        peer.sock.send(b"Sunday\n")
        assert await asking == "Sunday"
        await peer.receive(b"quit\n")
        assert not closing.done()
        peer.sock.shutdown(socket.SHUT_WR)
        await closing
        await again
        with pytest.raises(daytime.StateError):
            await late

    async def too_late(peer: Peer) -> None:
        asking = peer.ask("day", timeout=None)
        await peer.receive(b"day\n")
        await peer.client.aclose()
        with pytest.raises(daytime.StateError):
            await asking
        await peer.end()

    async def never_ending(peer: Peer) -> None:
        closing = asyncio.create_task(peer.client.aclose())
        await peer.receive(b"quit\n")
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert peer.client.closed
        await peer.end()

    scripted(in_time)
    scripted(too_late, timeout=0.05)
    scripted(never_ending)
