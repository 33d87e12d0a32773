"""The command line: `python -m daytime serve` and `python -m daytime ask`, with the options of the two programs."""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType

import daytime

# The original's, which its users know.
PROMPT = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: "

_REASONS = {
    "full": "the server is full",
    "per_source": "too many connections from its address",
    "denied": "its network is denied",
}


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _mode(text: str) -> int:
    return int(text, 8)


def _address(text: str, port_of_none: int = daytime.DEFAULT_PORT) -> tuple[str, int]:
    if text.startswith("unix:"):
        return text, 0
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(port_of_none)  # an IPv6 address, or a name alone
    elif text.endswith("]"):
        host, port = text, str(port_of_none)
    if not port.isascii() or not port.isdecimal() or int(port) > 65535 or not host:
        raise ValueError(text)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _rfc867_address(text: str) -> tuple[str, int]:
    return _address(text, 13)


def _rfc868_address(text: str) -> tuple[str, int]:
    return _address(text, 37)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="daytime", description=daytime.__doc__.splitlines()[0] if daytime.__doc__ else ""
    )
    parser.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")
    programs = parser.add_subparsers(dest="program", required=True)

    serve = programs.add_parser("serve", help="tell the day, the date and the time to whoever asks")
    add = serve.add_argument
    add(
        "--listen",
        type=_address,
        metavar="ADDR",
        action="append",
        help="HOST:PORT or unix:PATH, repeatable [default: localhost:9990]",
    )
    for number, address, port in [(867, _rfc867_address, 13), (868, _rfc868_address, 37)]:
        shown = f"the same for RFC {number}, by default on port {port} [default: none]"
        add(f"--listen-rfc{number}", type=address, metavar="ADDR", action="append", default=[], help=shown)
    add("--unix-mode", type=_mode, metavar="MODE", help="of Unix sockets' files, such as 660 [default: by the umask]")
    add("--allow", metavar="NETWORK", action="append", default=[], help="let in, and others not; repeatable")
    add("--deny", metavar="NETWORK", action="append", default=[], help="turned away without a word; repeatable")
    add("--workers", type=int, metavar="N", help="worker threads [default: one a core]")
    add("--framing", choices=["auto", "line"], default="auto", help="how ends of commands are found [default: auto]")
    add("--timezone", metavar="ZONE", help="an IANA name, UTC, or an offset such as +05:30 [default: the system's]")
    for name, default in [("day", "%A"), ("date", "%y-%m-%d"), ("time", "%H:%M:%S")]:
        shown = default.replace("%", "%%")
        add(f"--{name}-format", metavar="F", default=default, help=f"strftime format of `{name}` [default: {shown}]")
    add("--greeting", metavar="TEXT", default="Welcome to the server", help="what a client reads first")
    add("--max-clients", type=int, metavar="N", help="clients at a time [default: the limit of descriptors less 64]")
    add("--max-clients-per-source", type=int, metavar="N", help="the same for one address [default: no limit]")
    add("--idle-timeout", type=_seconds, metavar="SECONDS", help="for clients that say nothing [default: never]")
    add("--first-command-timeout", type=_seconds, metavar="SECONDS", help="for a first whole command [default: never]")
    add("--write-timeout", type=_seconds, metavar="SECONDS", default=10.0, help="for taking replies [default: 10]")
    add("--busy-poll", type=int, metavar="MICROSECONDS", help="how long workers spin before they sleep")
    add("--drain", type=_seconds, metavar="SECONDS", default=5.0, help="for replies owed at the end [default: 5]")
    add("--bind-timeout", type=_seconds, metavar="SECONDS", default=10.0, help="retry of a taken address [default: 10]")
    add("--quiet", action="store_true", help="no line for each client")
    serve.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")

    ask = programs.add_parser("ask", help="ask a server, this one or the original")
    ask.add_argument("--connect", type=_address, metavar="ADDR", default=("localhost", daytime.DEFAULT_PORT))
    ask.add_argument("--timeout", type=_seconds, metavar="SECONDS", default=5.0, help="for each command [default: 5]")
    ask.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")
    ask.add_argument("commands", metavar="COMMAND", nargs="*", help="one reply a line; without any, they are read")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns the exit code: 0, 1 after an error, 2 for what is no setting."""
    args = _parser().parse_args(arguments)
    program = _serve if args.program == "serve" else _ask
    try:
        return program(args)
    except BrokenPipeError:
        # Whoever read the output has enough. Nothing more is written, at the interpreter's end neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130
    except (ValueError, OverflowError) as error:
        _complain(error)
        return 1 if isinstance(error, daytime.DaytimeError) else 2
    except (OSError, daytime.DaytimeError) as error:
        _complain(error)
        return 1


def _serve(args: argparse.Namespace) -> int:
    _raise_descriptors()
    with _bind(args) as server:
        for warning in server.warnings:
            _complain(warning)

        def stop(number: int, frame: FrameType | None) -> None:
            if server.state != "running":
                os._exit(1)
            server.drain(args.drain)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        events = () if args.quiet else server.events()
        # A thread of its own: whoever reads standard output slowly, or not at all, stops nothing but this.
        threading.Thread(target=_print, args=(_listening(server), events), daemon=True).start()
        server.wait()
    return 0


def _bind(args: argparse.Namespace) -> daytime.Server:
    """Binds, and while an address is taken tries again, saying so in the original's words."""
    patience = time.monotonic() + args.bind_timeout
    while True:
        try:
            return daytime.Server(
                listen=args.listen or [("localhost", daytime.DEFAULT_PORT)],
                listen_rfc867=args.listen_rfc867,
                listen_rfc868=args.listen_rfc868,
                unix_mode=args.unix_mode,
                allow=args.allow,
                deny=args.deny,
                workers=args.workers,
                framing=args.framing,
                timezone=args.timezone,
                day_format=args.day_format,
                date_format=args.date_format,
                time_format=args.time_format,
                greeting=args.greeting,
                max_clients=args.max_clients,
                max_clients_per_source=args.max_clients_per_source,
                idle_timeout=args.idle_timeout,
                first_command_timeout=args.first_command_timeout,
                write_timeout=args.write_timeout,
                busy_poll=None if args.busy_poll is None else args.busy_poll / 1e6,
            )
        except OSError as error:
            left = patience - time.monotonic()
            if error.errno != errno.EADDRINUSE or left <= 0:
                raise
            print(f"Server socket binding threw an error: {error}\nRetrying ....", file=sys.stderr)
            time.sleep(min(1.0, left))


def _listening(server: daytime.Server) -> list[str]:
    """A line for each address, in the original's words as far as it has any."""
    lines = []
    for addresses, protocol in [
        (server.addresses, ""),
        (server.rfc867_addresses, " for RFC 867"),
        (server.rfc868_addresses, " for RFC 868"),
    ]:
        for host, port in addresses:
            where = _escaped(host) if host.startswith("unix:") else f"IP: {host} and Port: {port}"
            lines.append(f"Server is listening on {where}{protocol}")
    return lines


def _print(lines: Iterable[str], events: Iterable[daytime.Event]) -> None:
    try:
        for line in lines:
            print(line, flush=True)
        for event in events:
            if (told := _told(event)) is not None:
                print(told, flush=True)
    except (OSError, ValueError):
        pass  # a closed or full standard output is no reason to stop


def _told(event: daytime.Event) -> str | None:
    match event:
        case daytime.Connected(peer=(host, port)) if not host.startswith("unix:"):
            return f"Connection has been established with client IP {host} and port is {port}"
        case daytime.Connected(peer=peer):
            return f"Connection has been established with client {peer.host}"
        case daytime.Refused(peer=(host, port), reason=reason):
            peer_shown = host if host.startswith("unix:") else f"{host}:{port}"
            return f"Connection from {peer_shown} has been refused: {_REASONS[reason]}"
        case daytime.AcceptPaused(why=why):
            return f"No client can be accepted for now: {why}"
        case _:
            return None


def _ask(args: argparse.Namespace) -> int:
    with daytime.connect(*args.connect, timeout=args.timeout) as client:
        if not args.commands:
            return _converse(client)
        code = 0
        for command in args.commands:
            if _is_quit(command):
                break
            try:
                _say(client.query(command))
            except daytime.CommandError as error:
                _complain(error.reason)
                code = 1
            except ValueError as error:
                if isinstance(error, daytime.DaytimeError):
                    raise
                _complain(error)
                code = 1
        return code


def _converse(client: daytime.Client) -> int:
    """The original's loop; lines are edited on a terminal."""
    _say(client.greeting)
    screen = sys.stdout.isatty()
    if screen and sys.stdin.isatty():
        import readline  # noqa: F401  # input() has its line editing from it
    while True:
        try:
            command = input(PROMPT if screen else "")
        except EOFError:
            return 0
        if _is_quit(command):
            return 0
        if not command.strip():
            continue
        try:
            _say(client.query(command.strip()))
        except daytime.CommandError as error:
            _say(error.reason)
        except ValueError as error:
            if isinstance(error, daytime.DaytimeError):
                raise
            _say(str(error))


def _is_quit(command: str) -> bool:
    return command.strip().lower() in ("quit", "exit")


def _say(text: str) -> None:
    """Prints a line. On a terminal control characters are shown escaped: a server's words command nothing."""
    print(_escaped(text) if sys.stdout.isatty() else text, flush=True)


def _complain(what: object) -> None:
    print(f"daytime: {_escaped(str(what))}", file=sys.stderr)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def _raise_descriptors() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # then the soft limit serves fewer clients


if __name__ == "__main__":
    sys.exit(main())
