"""The connection of an `AsyncClient`: asyncio's transport on one side, the engine's `ClientSession` on the other.

One call at a time has the turn, in the order of the calls. A call that was sent ends with its reply, or it ends the
connection: a later reply could belong to it. Bytes that answer nothing, EOF and errors of the system end the connection
as soon as the loop reads them. The next call raises the reason.

Memory is bounded for any server. The session buffers at most 64 KiB and one read. A pipeline has at most 4 KiB of
commands in flight. No command is sent while the transport is over its limit.
"""

import asyncio
import math
import select
from collections import deque
from collections.abc import Iterable
from typing import NoReturn, TypeAlias, cast, final

from daytime._daytime import HELLO, QUIET, ClientSession, error_reason
from daytime._vocabulary import CommandError, ProtocolError, RequestTimeout, ServerClosed, StateError

Result: TypeAlias = str | CommandError | ValueError

# The bytes of commands that a pipeline keeps in flight. A server reads nothing while it owes replies, so a client that
# only wrote would wait forever. This size fits into the buffers of any socket.
_IN_FLIGHT = 4096
# The most bytes of one read. A connection keeps its buffer: for each read without one, asyncio allocates 256 KiB, which
# can take longer than all of the rest.
_READ = 16 * 1024


@final
class Connection(asyncio.BufferedProtocol):
    """One connection. `limit` is the timeout of a call in seconds, for its error; `deadline` is on the loop's clock."""

    def __init__(self) -> None:
        self.session = ClientSession()
        self.closed = False
        self._input = bytearray(_READ)
        self._loop = asyncio.get_running_loop()
        self._lost = self._loop.create_future()
        # What the next call raises.
        self._error: Exception | None = None
        # Whether a call has the turn, and the calls that wait for it. Their result is whether they get it in time.
        self._busy = False
        self._queue: deque[asyncio.Future[bool]] = deque()
        # The call that has the turn waits for its reply here. None means: raise the error.
        self._waiter: asyncio.Future[str | None] | None = None
        self._pipeline: Pipeline | None = None
        self._limit: float | None = None
        self._deadline = math.inf
        # One timer serves all calls, since a new one for each costs too much. It may ring before the deadline of a
        # later call, and is set again then.
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        # Whether the greeting is complete. Silence may complete it, after a timer.
        self._greeted = False
        self._quiet: asyncio.TimerHandle | None = None
        # Whether the transport has too many bytes to send, and whether the call that has the turn waits for that.
        self._paused = False
        self._stalled = False

    async def greet(self, deadline: float, limit: float | None) -> None:
        """Waits for the greeting."""
        self._busy = True
        try:
            while not self._greeted:
                if self._error is not None:
                    self._raise()
                await self._reply(deadline, limit)
        finally:
            self._pass_turn()

    async def request(self, command: str, limit: float | None) -> str:
        """Sends a command and waits for its reply."""
        deadline = math.inf if limit is None else self._loop.time() + limit
        if self._busy or self._error is not None or self._paused or self._poll(0):
            await self._take_turn(deadline, limit)
        self._busy = True
        try:
            self._transport.write(self.session.ask(command))
            # As _reply(), without the cost of its coroutine.
            self._deadline, self._limit = deadline, limit
            if deadline < self._alarm_at:
                self._set_alarm()
            self._waiter = asyncio.Future(loop=self._loop)
            reply = await self._waiter
            if reply is None:
                self._raise()
            return reply
        except (ValueError, TypeError) as error:
            if isinstance(error, ProtocolError):
                self.close()
            raise  # an invalid command was not sent
        except BaseException:
            self.close()
            raise
        finally:
            if self._queue:
                self._pass_turn()
            else:
                self._busy = False

    async def pipeline(self, commands: Iterable[str], limit: float | None) -> list[Result]:
        """Sends commands, at most 4 KiB ahead, and waits for all replies."""
        deadline = math.inf if limit is None else self._loop.time() + limit
        pipeline = Pipeline(self.session, commands)
        await self._take_turn(deadline, limit)
        try:
            if questions := pipeline.ask():
                self._pipeline = pipeline
                self._transport.write(questions)
                await self._reply(deadline, limit)
        except ProtocolError:
            self.close()
            raise
        finally:
            self._pipeline = None
            self._pass_turn()
        return pipeline.results

    async def quit(self, limit: float | None) -> NoReturn:
        """Sends quit and waits until the server has closed. Always raises: ServerClosed if it has."""
        deadline = math.inf if limit is None else self._loop.time() + limit
        await self._take_turn(deadline, limit)
        try:
            self._transport.write(self.session.quit())
            while True:
                await self._reply(deadline, limit)
        finally:
            self._pass_turn()

    def close(self) -> None:
        """Closes at once. The call that has the turn, and each later one, raises StateError."""
        self.closed = True
        self._error = StateError("the client is closed")
        if self._alarm is not None:
            self._alarm.cancel()
        self._end()

    async def wait_closed(self) -> None:
        """Waits until the socket is closed, after close()."""
        await asyncio.shield(self._lost)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        readable = select.poll()
        readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._poll = readable.poll
        self.peername: object = transport.get_extra_info("peername")
        self._transport.write(HELLO)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._input

    def buffer_updated(self, nbytes: int) -> None:
        try:
            reply = self.session.receive(self._input[:nbytes])
            if self._pipeline is not None:
                reply = self._advance(self._pipeline, reply)
            elif not self._greeted:
                reply = self._greeting()
        except (ServerClosed, ProtocolError) as error:
            self._fail(error)
        else:
            if reply is not None and self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(reply)

    def eof_received(self) -> None:
        try:
            self.session.handle_eof()
        except (ServerClosed, ProtocolError) as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None or isinstance(exc, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
            exc = ServerClosed("the server closed the connection")
        self._fail(exc)
        self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._stalled:
            self._wake("")
        elif self._pipeline is not None:
            try:
                reply = self._advance(self._pipeline, None)
            except ProtocolError as error:
                self._fail(error)
            else:
                if reply is not None:
                    self._wake(reply)

    # The turn, and the wait for a reply.

    async def _take_turn(self, deadline: float, limit: float | None) -> None:
        """Waits until the earlier calls have ended, the transport has room, and nothing has arrived unasked."""
        if self._busy:
            await self._queue_up(deadline, limit)
        self._busy = True
        try:
            # Readable means: bytes or EOF that the loop has not read yet. It will, and that ends the connection.
            while self._error is None and (self._paused or self._poll(0)):
                self._stalled = self._paused
                try:
                    await self._reply(deadline, limit)
                finally:
                    self._stalled = False
            if self._error is not None:
                self._raise()
        except BaseException:
            self._pass_turn()
            raise

    async def _queue_up(self, deadline: float, limit: float | None) -> None:
        turn = self._loop.create_future()
        self._queue.append(turn)
        alarm = None if limit is None else self._loop.call_at(deadline, self._give_up, turn)
        try:
            in_time = await turn
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn.done() and not turn.cancelled() and turn.result():
                self._pass_turn()
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        if not in_time:
            raise RequestTimeout(limit or 0.0)

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            self._queue.remove(turn)
            turn.set_result(False)

    def _pass_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._busy = False

    async def _reply(self, deadline: float, limit: float | None) -> str:
        """Waits until _wake() is called. A timeout or a cancellation ends the connection."""
        try:
            self._deadline, self._limit = deadline, limit
            if deadline < self._alarm_at:
                self._set_alarm()
            self._waiter = asyncio.Future(loop=self._loop)
            reply = await self._waiter
        except BaseException:
            self.close()
            raise
        if reply is None:
            self._raise()
        return reply

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._deadline, self._ring)
        self._alarm_at = self._deadline

    def _ring(self) -> None:
        self._alarm_at = math.inf
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._set_alarm()
            return
        try:
            # The bytes received so far say more than a timeout.
            self.session.handle_deadline()
        except ProtocolError as error:
            self._fail(error)
        else:
            self._fail(RequestTimeout(self._limit or 0.0))

    def _wake(self, reply: str | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(reply)

    # The progress of a call.

    def _greeting(self) -> str | None:
        """The greeting, once it is complete. Silence may complete it."""
        if self._quiet is not None:
            self._quiet.cancel()
        if self.session.needs_timeout:
            self._quiet = self._loop.call_later(QUIET, self._take_silence)
        self._greeted = self.session.greeting is not None
        return self.session.greeting

    def _take_silence(self) -> None:
        try:
            self.session.handle_timeout()
        except ProtocolError as error:
            self._fail(error)
        else:
            self._greeted = True
            self._wake("")

    def _advance(self, pipeline: "Pipeline", reply: str | None) -> str | None:
        """Takes the replies that are complete, and sends what has room then. Returns a text at the end."""
        while reply is not None:
            pipeline.take(reply)
            reply = self.session.reply()
        if not self._paused and (questions := pipeline.ask()):
            self._transport.write(questions)
        return "" if pipeline.done else None

    # The end.

    def _fail(self, error: Exception) -> None:
        """Ends the connection. The call that waits, or else the next one, raises the error."""
        if self._error is None:
            self._error = error
        self._end()

    def _end(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._transport.abort()
        self._wake(None)

    def _raise(self) -> NoReturn:
        """Raises the error, and closes."""
        error = self._error
        self.close()
        assert error is not None
        raise error


@final
class Pipeline:
    """The commands of one pipeline, and their results in order."""

    def __init__(self, session: ClientSession, commands: Iterable[str]) -> None:
        self.results: list[Result] = []
        self._session = session
        self._commands: list[tuple[str, int]] = []
        for command in commands:
            if not isinstance(command, str):
                raise TypeError(f"a command must be a str, got {type(command).__name__}")
            self._commands.append((command, len(command.encode()) + 1))
        # For each command in flight: the index of its result, and its size.
        self._asked: deque[tuple[int, int]] = deque()
        self._in_flight = 0

    @property
    def done(self) -> bool:
        """Whether every result is there."""
        return not self._asked and len(self.results) == len(self._commands)

    def ask(self) -> bytes:
        """The bytes of the next commands that have room. Raises ProtocolError."""
        questions = []
        while len(self.results) < len(self._commands):
            command, size = self._commands[len(self.results)]
            if self._asked and not (self._session.frames_lines and self._in_flight + size <= _IN_FLIGHT):
                break
            try:
                questions.append(self._session.ask(command))
            except ProtocolError:
                raise
            except ValueError as error:
                self.results.append(error.with_traceback(None))
            else:
                self._asked.append((len(self.results), size))
                self._in_flight += size
                self.results.append("")
        return b"".join(questions)

    def take(self, reply: str) -> None:
        """Takes the reply to the first command in flight."""
        index, size = self._asked.popleft()
        self._in_flight -= size
        reason = error_reason(reply)
        self.results[index] = reply if reason is None else CommandError(self._commands[index][0], reason)
