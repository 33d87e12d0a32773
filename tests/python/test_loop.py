"""The server in an asyncio program: `async def` handlers, events, and the stop."""

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import daytime
import pytest
from support import eventually

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a program that must not block the loop."""
    with asyncio.Runner() as runner:
        return runner.run(asyncio.wait_for(main, 30))


async def ask(server: daytime.Server, *commands: str) -> list[str]:
    """The replies, or the reasons of error lines."""
    replies = []
    async with await daytime.AsyncClient.connect(*server.address) as client:
        for command in commands:
            try:
                replies.append(await client.request(command))
            except daytime.CommandError as error:
                replies.append(f"error: {error.reply}")
    return replies


async def echo(request: daytime.Request) -> str:
    await asyncio.sleep(0)
    return request.argument


def test_async_handlers() -> None:
    class Callable_:
        async def __call__(self, request: daytime.Request) -> str:
            return f"called {request.argument} {request.state}"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = daytime.Server(
            "127.0.0.1", 0, commands={"echo": echo, "call": Callable_()}, on_connect=lambda client: client.client
        )
        meet = asyncio.Barrier(5)

        @server.command("Meet", usage="meet WHO")
        async def met(request: daytime.Request) -> str:
            assert asyncio.get_running_loop() is loop
            await meet.wait()
            return request.argument

        @server.command("bye")
        async def bye(request: daytime.Request) -> None:
            return None

        async with server as entered:
            assert entered is server
            replies = await asyncio.gather(*(ask(server, "echo a", f"meet {n}", "call b") for n in range(5)))
            assert [reply[:2] for reply in replies] == [["a", str(n)] for n in range(5)]
            assert sorted(reply[2] for reply in replies) == [f"called b {client}" for client in range(1, 6)]
            with pytest.raises(daytime.ServerClosed):
                await ask(server, "bye")
        assert server.state == "stopped"

    run(main())


def test_failures_of_async_handlers(unraisable: list[BaseException]) -> None:
    async def main() -> None:
        async def fail(request: daytime.Request) -> str:
            raise ZeroDivisionError("why")

        async def refuse(request: daytime.Request) -> str:
            raise daytime.ReplyError("no")

        async def junk(request: daytime.Request) -> Any:
            return 5

        async def cancel(request: daytime.Request) -> str:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(0)
            return "never"

        handlers = {"fail": fail, "refuse": refuse, "junk": junk, "cancel": cancel}
        async with daytime.Server("127.0.0.1", 0, commands=handlers) as server:
            events = server.events()
            failed = "error: The command failed"
            assert await ask(server, *handlers, "help fail") == [failed, "error: no", failed, failed, "fail"]
            errors = []
            async for event in events:
                if isinstance(event, daytime.CommandFailed):
                    errors.append(event.error)
                if isinstance(event, daytime.Disconnected):
                    break
            assert len(errors) == 3
            for error, text in zip(errors, ("ZeroDivisionError", "TypeError", "cancelled"), strict=True):
                assert text in error

    run(main())
    assert [type(error) for error in unraisable] == [ZeroDivisionError, TypeError]


def test_registration() -> None:
    with pytest.raises(TypeError, match="needs an event loop: make the server in a running one, or with loop="):
        daytime.Server("127.0.0.1", 0, commands={"echo": echo})
    with daytime.Server("127.0.0.1", 0) as server:
        pass
    server = daytime.Server("127.0.0.1", 0)
    with pytest.raises(TypeError, match="needs an event loop"):
        server.command("echo")(echo)
    with pytest.raises(TypeError, match="must be a plain function"):
        server.command_deferred("echo", echo)  # type: ignore[type-var]
    for hook in (server.on_connect, server.on_disconnect):
        with pytest.raises(TypeError, match="must be a plain function, got an async one"):
            hook(echo)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="argument 'loop': must be an event loop, got int"):
        daytime.Server("127.0.0.1", 0, loop=5)  # type: ignore[arg-type]
    server.stop()


def test_a_given_loop_and_plain_clients() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with daytime.serve("127.0.0.1", 0, loop=loop, commands={"echo": echo}) as server:
        with daytime.connect(*server.address) as client:
            assert client.pipeline([f"echo {n}" for n in range(200)]) == [str(n) for n in range(200)]
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        # The loop takes no call any more. Its end drops the calls.
        with daytime.connect(*server.address, timeout=30) as waiting:
            events = server.events()
            replies: list[object] = []
            asking = threading.Thread(target=lambda: replies.extend(waiting.pipeline(["echo"])))
            asking.start()
            eventually(lambda: any("_start" in repr(handle) for handle in loop._ready))  # type: ignore[attr-defined]
            loop.close()
            gc.collect()
            asking.join(10)
            assert [str(reply) for reply in replies] == ["echo: The command failed"]
            assert "dropped without a reply" in next(e for e in events if isinstance(e, daytime.CommandFailed)).error


def test_a_loop_that_is_closed_before_its_tasks_end(caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    async def never(request: daytime.Request) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    loop = asyncio.new_event_loop()
    with daytime.serve("127.0.0.1", 0, loop=loop, commands={"never": never}) as server:
        events = server.events()
        with daytime.connect(*server.address, timeout=30) as client:
            replies: list[object] = []
            asking = threading.Thread(target=lambda: replies.extend(client.pipeline(["never"])))
            asking.start()
            loop.run_until_complete(asyncio.to_thread(begun.wait))
            loop.close()
            asking.join(10)
            assert [str(reply) for reply in replies] == ["never: The command failed"]
        assert "loop was closed" in next(e for e in events if isinstance(e, daytime.CommandFailed)).error
    gc.collect()
    assert "Task was destroyed but it is pending" in caplog.text  # by asyncio


def test_a_closed_loop(unraisable: list[BaseException]) -> None:
    loop = asyncio.new_event_loop()
    server = daytime.Server("127.0.0.1", 0, loop=loop, commands={"echo": echo})
    loop.close()
    with server, daytime.connect(*server.address) as client:
        for _ in range(2):
            with pytest.raises(daytime.CommandError, match="The command failed"):
                client.request("echo")
        assert client.request("day")
    assert [str(error) for error in unraisable] == ["Event loop is closed"] * 2


def test_the_stop_cancels_the_tasks() -> None:
    async def main() -> None:
        begun = asyncio.Event()
        ends: list[str] = []

        async def wait(request: daytime.Request) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            return "never"

        async def stop(request: daytime.Request) -> str:
            try:
                await server.astop()  # does not cancel its own task
                ends.append("stopped")
            except asyncio.CancelledError:
                ends.append("cancelled")  # by another call
                raise
            return "never"

        server = daytime.Server("127.0.0.1", 0, commands={"wait": wait, "stop": stop})
        async with server:
            asking = asyncio.create_task(ask(server, "wait"))
            await begun.wait()
            with pytest.raises(daytime.ServerClosed):
                await ask(server, "stop")
            with pytest.raises(daytime.ServerClosed):
                await asking
            await server.astop()
            await server.astop(timeout=None)
        assert len(ends) == 2
        assert server.state == "stopped"
        with pytest.raises(daytime.StateError):
            async with server:
                pass

    run(main())


def test_the_stop_waits_for_plain_handlers_without_blocking_the_loop() -> None:
    async def main() -> None:
        begun, end = threading.Event(), threading.Event()

        def busy(request: daytime.Request) -> str:
            begun.set()
            assert end.wait(10)
            return "never read"

        server = daytime.Server("127.0.0.1", 0, commands={"busy": busy})
        async with server:
            asking = asyncio.create_task(ask(server, "busy"))
            await asyncio.to_thread(begun.wait)
            await server.astop(timeout=0.01)
            assert not server.wait(0)
            stopping = asyncio.create_task(server.astop())
            with pytest.raises(daytime.ServerClosed):
                await asking
            assert not stopping.done()
            cancelled = asyncio.create_task(server.astop())
            await asyncio.sleep(0)
            cancelled.cancel()
            end.set()
            await stopping
        assert server.state == "stopped"

    run(main())


def test_events() -> None:
    async def main() -> None:
        async with daytime.Server("127.0.0.1", 0) as server:
            all_events = server.events(capacity=10_000)
            events = aiter(server.events())
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            with pytest.raises(daytime.StateError, match="another task waits"):
                await anext(events)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await ask(server, "day")
            # A cancelled wait loses no event.
            assert isinstance(await anext(events), daytime.Connected)
            assert isinstance(await anext(events), daytime.Disconnected)
            assert [event async for event in server.events(timeout=0.01)] == []
            for _ in range(50):
                await ask(server, "day")
        seen = [event async for event in all_events]
        assert len(seen) == 102
        assert [event async for event in all_events] == []
        assert list(all_events) == []
        assert [event async for event in server.events()] == []

    run(main())


def test_events_in_time() -> None:
    """Each event wakes the loop, whether it waits already or not."""

    async def main() -> None:
        async with daytime.Server("127.0.0.1", 0) as server:
            events = aiter(server.events())
            for _ in range(300):
                client = await asyncio.to_thread(daytime.connect, *server.address)
                assert isinstance(await anext(events), daytime.Connected)
                closing = asyncio.create_task(asyncio.to_thread(client.close))
                assert isinstance(await anext(events), daytime.Disconnected)
                await closing

    run(main())


def test_the_loop_ends_with_a_running_server_and_a_waiting_task() -> None:
    async def never(request: daytime.Request) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async def start() -> daytime.Server:
        return daytime.serve("127.0.0.1", 0, commands={"never": never})

    async def serve() -> daytime.Server:
        server = await start()
        asking.append(threading.Thread(target=ask_never, args=(server,)))
        asking[0].start()
        await asyncio.to_thread(begun.wait)
        return server

    def ask_never(server: daytime.Server) -> None:
        with daytime.connect(*server.address, timeout=30) as client:
            replies.extend(client.pipeline(["never"]))

    begun = threading.Event()
    asking: list[threading.Thread] = []
    replies: list[object] = []
    with asyncio.run(serve()):
        asking[0].join(10)
        assert [str(reply) for reply in replies] == ["never: The command failed"]
