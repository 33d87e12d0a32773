"""The client for asyncio: asyncio's streams around the engine's `ClientSession`.

Framing, the detection of the original classroom program, and errors are therefore those of the blocking client. A
cancellation, a timeout or an error in the middle of a request closes the connection, since a later reply could belong
to an earlier request.
"""

import asyncio
import datetime as dt
import os
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from types import EllipsisType, TracebackType
from typing import Self, TypeVar, final

from daytime._daytime import (
    DEFAULT_PORT,
    ERRORS,
    HELLO,
    QUIET,
    ClientSession,
    parse_date,
    parse_datetime,
    parse_day,
    parse_time,
    parse_timestamp,
    unix_path,
)
from daytime._vocabulary import Address, CommandError, ProtocolError, RequestTimeout, ServerClosed, StateError

_T = TypeVar("_T")

_INVALID = ERRORS[0]
# The pause before a retry if the queue of a Unix socket is full. The system does not report when it has room.
_QUEUE_PAUSE = 0.01


@final
class AsyncClient:
    """One connection to a server, for asyncio.

    `await AsyncClient.connect(host, port)` makes a client. `AsyncClient(reader, writer)` takes two streams on which
    nothing was sent; enter it with `async with`.

    `timeout` is in seconds (default 5.0; None: unlimited), for the greeting and for each request. Requests of several
    tasks run one after another, and the timeout includes the wait for the others. An exception in the middle of a
    request, such as a cancellation, closes the connection.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter, *, timeout: float | None = 5.0) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout = _checked(timeout)
        self._session = ClientSession()
        self._lock = asyncio.Lock()
        self._closed = False
        self._lacks_datetime = False
        name = writer.get_extra_info("peername")
        self._peer = _address(name)

    @classmethod
    async def connect(cls, host: str = "localhost", port: int = DEFAULT_PORT, *, timeout: float | None = 5.0) -> Self:
        """Connects and reads the greeting, within `timeout` seconds. The host "unix:PATH" is a Unix socket.

        Raises OSError if it cannot connect, RequestTimeout, ServerClosed with the server's error line if that rejects
        the client, and ProtocolError if the peer does not speak this protocol.
        """
        _checked(timeout)
        if not 0 <= port <= 65535:
            raise OverflowError("port must be 0-65535")
        path = unix_path(host)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(timeout):
                if path is None:
                    reader, writer = await asyncio.open_connection(host, port)
                else:
                    reader, writer = await asyncio.open_unix_connection(sock=await _unix_socket(path))
        except TimeoutError as error:
            if error.errno is not None or timeout is None:
                raise  # a timeout of the system
            raise RequestTimeout(timeout) from None
        client = cls(reader, writer, timeout=timeout)
        await client._greet(None if timeout is None else began + timeout)
        return client

    async def day(self, zone: str | None = None) -> str:
        """The English name of the day of the week, in the server's zone or in `zone`.

        Raises CommandError if the server does not know the zone, and the exceptions of request().
        """
        moment = await self._moment(zone)
        return await self._typed("day", zone, parse_day) if moment is None else f"{moment:%A}"

    async def date(self, zone: str | None = None) -> dt.date:
        """The date, in the server's zone or in `zone`, see day()."""
        moment = await self._moment(zone)
        return await self._typed("date", zone, parse_date) if moment is None else moment.date()

    async def time(self, zone: str | None = None) -> dt.time:
        """The time of day in whole seconds, in the server's zone or in `zone`, see day()."""
        moment = await self._moment(zone)
        return await self._typed("time", zone, parse_time) if moment is None else moment.time()

    async def datetime(self, zone: str | None = None) -> dt.datetime:
        """The date and the time of one moment, in the server's zone or in `zone`, see day(). An aware datetime.

        The original classroom program does not send its offset, so that its datetime is naive.
        """
        moment = await self._moment(zone)
        if moment is not None:
            return moment
        date = await self._typed("date", zone, parse_date)
        while True:
            time = await self._typed("time", zone, parse_time)
            after = await self._typed("date", zone, parse_date)
            if after == date:
                return dt.datetime.combine(date, time)
            date = after  # it was midnight in the meantime

    async def timestamp(self) -> int:
        """The seconds since 1970-01-01 00:00 UTC.

        Raises CommandError if the server is the original classroom program, and the exceptions of request().
        """
        return await self._typed("timestamp", None, parse_timestamp)

    async def request(self, command: str, /, *, timeout: float | EllipsisType | None = ...) -> str:
        """Sends a command and returns the text of the reply. `timeout` is in seconds; by default it is the client's.

        Raises CommandError if the reply is an error line. Raises ValueError if the command cannot be sent: it is blank,
        exceeds 1,024 bytes, has a control character, or is quit, which aclose() sends. Raises RequestTimeout,
        ServerClosed, ProtocolError or OSError if the connection ends, and StateError if it was closed before.
        """
        limit = self._timeout if isinstance(timeout, EllipsisType) else _checked(timeout)
        if command.strip(" \t").lower() in ("quit", "exit"):
            raise ValueError(f"the command {command!r} does not have a reply; call aclose()")
        if self._closed:
            raise StateError("the client is closed")
        try:
            async with asyncio.timeout(limit) as scope, self._lock:
                reply = await self._exchange(command)
        except TimeoutError:
            if limit is None or not scope.expired():
                raise
            raise RequestTimeout(limit) from None
        if reply in ERRORS:
            raise CommandError(command, reply)
        return reply

    async def aclose(self) -> None:
        """Sends quit, waits until the server has closed, at most for `timeout`, and closes. Later calls do nothing."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(self._timeout), self._lock:
                if self._session.greeting is not None and not self._closed:
                    self._writer.write(self._session.ask("quit"))
                    while await self._reader.read(4096):
                        pass
        except (OSError, ValueError):
            pass  # errors do not matter any more: the connection is closed
        finally:
            self._close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, by aclose() or by an error."""
        return self._closed

    @property
    def peer(self) -> Address:
        """The address of the server."""
        return self._peer

    @property
    def greeting(self) -> str:
        """The greeting of the server; "" before it has arrived."""
        return self._session.greeting or ""

    async def __aenter__(self) -> Self:
        if self._closed:
            raise StateError("the client is closed")
        if self._session.greeting is None:
            timeout = self._timeout
            await self._greet(None if timeout is None else asyncio.get_running_loop().time() + timeout)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        host, port = self._peer
        address = ascii(host)[1:-1] if host.startswith("unix:") else f"{host}:{port}"
        return f"<daytime.AsyncClient {address}{' closed' if self._closed else ''}>"

    async def _greet(self, deadline: float | None) -> None:
        """Sends the hello and reads the greeting, until `deadline` on the clock of the loop."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                self._writer.write(HELLO)
                while self._session.greeting is None:
                    await self._receive()
        except TimeoutError:
            self._close()
            if not limit.expired():
                raise
            self._session.handle_deadline()
            raise RequestTimeout(self._timeout or 0.0) from None
        except BaseException:
            self._close()
            raise

    async def _receive(self) -> None:
        """Takes the next bytes. If silence matters now, it also takes QUIET seconds of silence."""
        if not self._session.needs_timeout:
            data = await self._read()
        else:
            try:
                async with asyncio.timeout(QUIET) as limit:
                    data = await self._read()
            except TimeoutError:
                if not limit.expired():
                    raise
                self._session.handle_timeout()
                return
        if not data:
            self._session.handle_eof()
        self._session.receive(data)

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            raise ServerClosed("the server closed the connection") from None

    async def _exchange(self, command: str) -> str:
        """Sends a command and returns the reply. Called with the lock held."""
        if self._closed:
            raise StateError("the client is closed")
        if self._session.greeting is None:
            raise StateError("the client has not read the greeting; enter it with `async with`")
        # In two turns of the loop, it reads the bytes that have arrived until now.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._check_silence()
        try:
            data = self._session.ask(command)
        except ValueError as error:
            if isinstance(error, ProtocolError):
                self._close()
            raise
        try:
            self._writer.write(data)
            while (reply := self._session.reply()) is None:
                await self._receive()
        except BaseException:
            self._close()
            raise
        return reply

    def _check_silence(self) -> None:
        """Reads the bytes that arrived without a request. The session then rejects the next command."""
        reading = self._reader.read(65536)
        try:
            reading.send(None)  # runs until it would wait
        except StopIteration as read:
            if not read.value:
                self._close()
                raise ServerClosed("the server closed the connection") from None
            self._session.receive(read.value)
        except OSError:
            self._close()
            raise ServerClosed("the server closed the connection") from None
        finally:
            reading.close()

    def _close(self) -> None:
        self._closed = True
        self._writer.close()

    async def _moment(self, zone: str | None) -> dt.datetime | None:
        """The reply to datetime, whose format does not depend on a setting. None if the server does not know it."""
        if self._lacks_datetime or not self._session.frames_lines:
            return None
        try:
            return await self._typed("datetime", zone, parse_datetime)
        except CommandError as error:
            if error.reply != _INVALID:
                raise
            self._lacks_datetime = True
            return None

    async def _typed(self, command: str, zone: str | None, parse: Callable[[str], _T]) -> _T:
        return parse(await self.request(command if zone is None else f"{command} {zone}"))


async def _unix_socket(path: str) -> socket.socket:
    """A connected Unix socket. (asyncio takes a full queue for an established connection.)"""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_QUEUE_PAUSE)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


def _address(name: object) -> Address:
    """The Address of a socket's name. An abstract name begins with a NUL."""
    if isinstance(name, tuple):
        return Address(str(name[0]), int(name[1]))
    if isinstance(name, str | bytes):
        path = os.fsdecode(name)
        return Address("unix:" + ("@" + path[1:] if path.startswith("\0") else path), 0)
    return Address(str(name), 0)


def _checked(timeout: float | None) -> float | None:
    """Rejects the timeouts that the blocking client rejects."""
    if timeout is None:
        return None
    seconds = float(timeout)
    if not seconds > 0:
        raise ValueError(f"the timeout must be longer than zero, got {seconds:g} s")
    if seconds > 9e9:
        raise OverflowError(f"the timeout must be at most 9e9 s, got {seconds:g} s")
    return seconds
