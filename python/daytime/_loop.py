"""The server in an asyncio program: `async def` handlers, events, and a stop that does not block the loop."""

import asyncio
import functools
import threading
import weakref
from asyncio import AbstractEventLoop, Future, Task
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias, final

from daytime._daytime import Events, Request, Responder, Server
from daytime._vocabulary import Event, StateError

_AsyncHandler: TypeAlias = Callable[[Request], Awaitable[str | None]]
# The events without a wait after which another task of the loop gets its turn.
_TURN = 64
# The seconds for which a timer owns the tasks.
_TIMER = 60.0


class _Batch:
    """Calls on their way to the loop, which owns them: if it is closed before it takes them, they fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[_AsyncHandler, Request, Responder]] = []
        self.is_open = True


class _Running:
    """The tasks, with the replies that they owe. A timer of the loop owns them: if the loop is closed, they fail."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.responders: dict[Task[None], Responder] = {}
        self._again(loop)

    def _again(self, loop: AbstractEventLoop) -> None:
        loop.call_later(_TIMER, self._expire, loop)

    def _expire(self, loop: AbstractEventLoop) -> None:
        if self.responders:
            self._again(loop)

    def __del__(self) -> None:
        for responder in self.responders.values():
            _fail(responder, "the event loop was closed")


@final
class Tasks:
    """The tasks of a server's `async def` handlers."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._batch: weakref.ref[_Batch] | None = None
        self._running: weakref.ref[_Running] | None = None

    def starter(self, handler: _AsyncHandler) -> Callable[[Request, Responder], None]:
        """A deferred handler that starts a task."""
        return functools.partial(self._submit, handler)

    def _submit(self, handler: _AsyncHandler, request: Request, responder: Responder) -> None:
        """Called on a handler thread. It wakes the loop once for all calls until the loop takes them."""
        with self._lock:
            batch = self._batch() if self._batch is not None else None
            if batch is not None and batch.is_open:
                batch.calls.append((handler, request, responder))
                return
            batch = _Batch()
            batch.calls.append((handler, request, responder))
            self._batch = weakref.ref(batch)
            try:
                self._loop.call_soon_threadsafe(self._start, batch)
            except RuntimeError:
                batch.is_open = False  # the loop is closed
                raise

    def _start(self, batch: _Batch) -> None:
        with self._lock:
            batch.is_open = False
        running = self._running() if self._running is not None else None
        if running is None:
            running = _Running(self._loop)
            self._running = weakref.ref(running)
        for handler, request, responder in batch.calls:
            task = self._loop.create_task(_answer(handler, request, responder))
            running.responders[task] = responder
            task.add_done_callback(self._finished)
        batch.calls.clear()

    def _finished(self, task: Task[None]) -> None:
        if self._running is not None and (running := self._running()) is not None:
            running.responders.pop(task, None)

    async def cancel(self) -> None:
        """Cancels the tasks, and waits until they have ended."""
        running = self._running() if self._running is not None else None
        if running is None or asyncio.get_running_loop() is not self._loop:
            return
        tasks = running.responders.keys() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _answer(handler: _AsyncHandler, request: Request, responder: Responder) -> None:
    try:
        responder.reply(await handler(request))
    except asyncio.CancelledError:
        _fail(responder, "the task of the handler was cancelled")
        raise
    except (GeneratorExit, KeyboardInterrupt, SystemExit) as error:
        _fail(responder, type(error).__name__)
        raise  # for the loop, as in any task
    except BaseException as error:
        _fail(responder, error)


def _fail(responder: Responder, error: BaseException | str) -> None:
    """Fails, unless the end of the loop was first."""
    try:
        responder.fail(error)
    except StateError:
        pass


async def enter(server: Server) -> Server:
    return server.__enter__()


async def stop(server: Server, tasks: Tasks | None, timeout: float | None) -> None:
    server.stop(wait=False)
    if tasks is not None:
        await tasks.cancel()
    loop = asyncio.get_running_loop()
    ended: Future[None] = loop.create_future()

    def wait() -> None:
        server.wait(timeout)
        try:
            loop.call_soon_threadsafe(_set, ended)
        except RuntimeError:
            pass  # the loop was closed in the meantime

    threading.Thread(target=wait, name="daytime-stop", daemon=True).start()
    await ended


def _set(future: "Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@final
class AsyncEvents:
    """The iterator of `async for event in server.events()`. A cancelled wait loses no event."""

    def __init__(self, events: Events, timeout: float | None) -> None:
        self._events = events
        # The socket is there before the first look for events, so that a later one is noticed.
        self._descriptor = events._fileno()
        self._timeout = timeout
        self._waiting = False
        self._turn = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._turn += 1
        if self._turn % _TURN == 0:
            await asyncio.sleep(0)
        if (event := self._events._poll()) is not None:
            return event
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    await self._wait()
                    if (event := self._events._poll()) is not None:
                        return event
        except TimeoutError:
            raise StopAsyncIteration from None

    async def _wait(self) -> None:
        """Waits until there may be an event."""
        if self._waiting:
            raise StateError("another task waits for the next event")
        loop = asyncio.get_running_loop()
        ready: Future[None] = loop.create_future()
        self._waiting = True
        loop.add_reader(self._descriptor, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
            self._waiting = False
