"""The client for asyncio: the typed calls, and how to connect.

`_connection.py` has the engine's `ClientSession`. Framing, the detection of the original classroom program, and errors
are therefore those of the blocking client.
"""

import asyncio
import datetime as dt
import math
import os
import socket
from collections.abc import Callable, Iterable
from types import EllipsisType, TracebackType
from typing import Self, TypeVar, final

from daytime._connection import Connection
from daytime._daytime import (
    DEFAULT_PORT,
    ERRORS,
    error_reason,
    parse_date,
    parse_datetime,
    parse_day,
    parse_next_transition,
    parse_time,
    parse_timestamp,
    parse_tz,
    unix_path,
)
from daytime._vocabulary import Address, CommandError, DaytimeError, RequestTimeout, StateError

_T = TypeVar("_T")

_INVALID = ERRORS[0]
# The pause before a retry if the queue of a Unix socket is full. The system does not report when it has room.
_QUEUE_PAUSE = 0.01


@final
class AsyncClient:
    """One connection to a server, for asyncio.

    `await AsyncClient.connect(host, port)` makes a client, and `await AsyncClient.connect(sock=sock)` makes one from a
    connected socket. `async with` closes it at the end.

    `timeout` is in seconds (default 5.0; None: unlimited), for the greeting and for each request. Requests of several
    tasks run one after another, and the timeout includes the wait for the others. An exception in the middle of a
    request, such as a cancellation, closes the connection.
    """

    def __init__(self, connection: Connection, /, *, timeout: float | None) -> None:
        self._connection = connection
        self._timeout = timeout
        self._lacks_datetime = False
        self._peer = _address(connection.peername)

    @classmethod
    async def connect(
        cls,
        host: str = "localhost",
        port: int = DEFAULT_PORT,
        *,
        timeout: float | None = 5.0,
        sock: socket.socket | None = None,
    ) -> Self:
        """Connects and reads the greeting, within `timeout` seconds. The host "unix:PATH" is a Unix socket.

        `sock` is a connected stream socket on which nothing was sent. It takes the place of the host and the port, and
        belongs to the client from then on.

        Raises OSError if it cannot connect, RequestTimeout, ServerClosed with the server's error line if that rejects
        the client, and ProtocolError if the peer does not speak this protocol.
        """
        limit = _checked(timeout)
        if not 0 <= port <= 65535:
            raise OverflowError("port must be 0-65535")
        path = unix_path(host)
        loop = asyncio.get_running_loop()
        deadline = math.inf if limit is None else loop.time() + limit
        try:
            async with asyncio.timeout(limit):
                if sock is None and path is not None:
                    sock = await _unix_socket(path)
                if sock is None:
                    _, connection = await loop.create_connection(Connection, host, port)
                else:
                    sock.setblocking(False)
                    _, connection = await loop.create_connection(Connection, sock=sock)
        except TimeoutError as error:
            if error.errno is not None or limit is None:
                raise  # a timeout of the system
            raise RequestTimeout(limit) from None
        await connection.greet(deadline, limit)
        return cls(connection, timeout=limit)

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

    async def tz(self, zone: str | None = None) -> str:
        """The POSIX TZ string of the server's zone or of `zone`, see day(): "CET-1CEST,M3.5.0,M10.5.0/3".

        It is for time.tzset() on a device that has no time zone database, and right for the two years after the
        server's time. If the rules of the zone do not fit into such a string, it has the present offset alone,
        "<+00>0", until next_transition().

        Raises CommandError if the server does not know the zone, or the command, as the original classroom program.
        Raises the exceptions of request().
        """
        return await self._typed("tz", zone, parse_tz)

    async def next_transition(self, zone: str | None = None) -> dt.datetime | None:
        """The next change of the offset of the server's zone or of `zone`, see day(): an aware datetime, at the offset
        that begins then. None if the offset does not change any more.

        Raises the exceptions of tz().
        """
        return await self._typed("next", zone, parse_next_transition)

    async def request(self, command: str, /, *, timeout: float | EllipsisType | None = ...) -> str:
        """Sends a command and returns the text of the reply. `timeout` is in seconds; by default it is the client's.

        Raises CommandError if the reply is an error line. Raises ValueError if the command cannot be sent: it is blank,
        exceeds 1,024 bytes, has a control character, or is quit, which aclose() sends. Raises RequestTimeout,
        ServerClosed, ProtocolError or OSError if the connection ends, and StateError if it was closed before.
        """
        limit = self._timeout if timeout is ... else _checked(timeout)
        reply = await self._connection.request(command, limit)
        if (reason := error_reason(reply)) is not None:
            raise CommandError(command, reason)
        return reply

    async def pipeline(
        self, commands: Iterable[str], /, *, timeout: float | EllipsisType | None = ...
    ) -> list[str | CommandError | ValueError]:
        """Sends many commands without a wait for each reply, at most 4 KiB of them ahead. Returns a list, in order,
        with the text of each reply, or with the CommandError or ValueError that request() would raise. `timeout` is in
        seconds, for all of them together. The original classroom program is asked one by one.

        Raises the exceptions that end the connection, see request().
        """
        limit = self._timeout if timeout is ... else _checked(timeout)
        return await self._connection.pipeline(commands, limit)

    async def aclose(self) -> None:
        """Sends quit, waits until the server has closed, at most for `timeout`, and closes. Later calls do nothing."""
        if self._connection.closed:
            return
        try:
            await self._connection.quit(self._timeout)
        except (OSError, DaytimeError):
            pass  # errors do not matter any more: the connection is closed
        finally:
            self._connection.close()
        await self._connection.wait_closed()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, by aclose() or by an error that was raised."""
        return self._connection.closed

    @property
    def peer(self) -> Address:
        """The address of the server."""
        return self._peer

    @property
    def greeting(self) -> str:
        """The greeting of the server."""
        return self._connection.session.greeting or ""

    async def __aenter__(self) -> Self:
        if self._connection.closed:
            raise StateError("the client is closed")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        host, port = self._peer
        address = ascii(host)[1:-1] if host.startswith("unix:") else f"{host}:{port}"
        return f"<daytime.AsyncClient {address}{' closed' if self.closed else ''}>"

    async def _moment(self, zone: str | None) -> dt.datetime | None:
        """The reply to datetime, whose format does not depend on a setting. None if the server does not know it."""
        if self._lacks_datetime or not self._connection.session.frames_lines:
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
