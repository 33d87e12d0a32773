"""The command line, `python -m daytime serve` and `python -m daytime ask`, with the options of the two programs.

`--config`, `--print-config` and `--check` are options of the program `daytime-server` only.
"""

import argparse
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

import daytime

# The prompt of the original classroom program.
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


def _microseconds(text: str) -> float:
    return int(text) / 1e6


def _mode(text: str) -> int:
    return int(text, 8)


def _address(text: str, port_of_none: int = daytime.DEFAULT_PORT) -> tuple[str, int]:
    if text.startswith("unix:"):
        return text, 0
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(port_of_none)  # an IPv6 address, or a name without a port
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

    serve = programs.add_parser("serve", help="serve the day, the date and the time")
    # A flag that is left out is not passed on, so that its default stays in the server.
    serve.set_defaults(bind_timeout=10.0, drain=5.0, quiet=False)

    def add(flag: str, **options: Any) -> None:
        serve.add_argument(flag, default=argparse.SUPPRESS, **options)

    add("--listen", type=_address, metavar="ADDR", action="append", help="HOST:PORT or unix:PATH, repeatable")
    add("--listen-rfc867", type=_rfc867_address, metavar="ADDR", action="append", help="for RFC 867 [port: 13]")
    add("--listen-rfc868", type=_rfc868_address, metavar="ADDR", action="append", help="for RFC 868 [port: 37]")
    add("--unix-mode", type=_mode, metavar="MODE", help="permissions of Unix sockets [default: by the umask]")
    add("--allow", metavar="NETWORK", action="append", help="accept this network, and reject others; repeatable")
    add("--deny", metavar="NETWORK", action="append", help="close connections of this network silently; repeatable")
    add("--workers", type=int, metavar="N", help="worker threads [default: one for each core]")
    add("--framing", choices=["auto", "line"], help="how the server finds the end of a command [default: auto]")
    add("--timezone", metavar="ZONE", help="a name, UTC, or an offset such as +05:30 [default: the system's]")
    add("--day-format", metavar="F", help="strftime format of the reply to `day` [default: %%A]")
    add("--date-format", metavar="F", help="strftime format of the reply to `date` [default: %%y-%%m-%%d]")
    add("--time-format", metavar="F", help="strftime format of the reply to `time` [default: %%H:%%M:%%S]")
    add("--greeting", metavar="TEXT", help="the greeting [default: Welcome to the server]")
    add("--max-clients", type=int, metavar="N", help="most clients at a time [default: descriptors less 64]")
    add("--max-clients-per-source", type=int, metavar="N", help="most clients of one address [default: unlimited]")
    add("--idle-timeout", type=_seconds, metavar="SECONDS", help="for clients that send nothing [default: never]")
    add("--first-command-timeout", type=_seconds, metavar="SECONDS", help="for the first command [default: never]")
    add("--write-timeout", type=_seconds, metavar="SECONDS", help="for clients that take no replies [default: 10]")
    add("--busy-poll", type=_microseconds, metavar="MICROSECONDS", help="how long workers poll before they sleep")
    add("--drain", type=_seconds, metavar="SECONDS", help="time for the replies owed at the end [default: 5]")
    add("--bind-timeout", type=_seconds, metavar="SECONDS", help="how long to retry a taken address [default: 10]")
    add("--quiet", action="store_true", help="do not print a line for each client")
    serve.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")

    ask = programs.add_parser("ask", help="ask a server, this one or the original")
    ask.add_argument("--connect", type=_address, metavar="ADDR", default=("localhost", daytime.DEFAULT_PORT))
    ask.add_argument("--timeout", type=_seconds, metavar="SECONDS", default=5.0, help="for each command [default: 5]")
    ask.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")
    ask.add_argument("commands", metavar="COMMAND", nargs="*", help="one reply a line; without any, they are read")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line, and returns the exit code: 0, 1 after an error, 2 for an invalid setting."""
    args = _parser().parse_args(arguments)
    program = _serve if args.program == "serve" else _ask
    try:
        return program(args)
    except BrokenPipeError:
        # The reader of the output has closed it. The interpreter writes nothing more at its end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        return 130
    except (ValueError, OverflowError) as error:
        _print_error(error)
        return 1 if isinstance(error, daytime.DaytimeError) else 2
    except (OSError, daytime.DaytimeError) as error:
        _print_error(error)
        return 1


def _serve(args: argparse.Namespace) -> int:
    _raise_descriptors()
    with _bind(args) as server:
        for warning in server.warnings:
            _print_error(warning)

        def stop(number: int, frame: FrameType | None) -> None:
            if server.state != "running":
                os._exit(1)
            server.drain(args.drain)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        events = () if args.quiet else server.events()
        # A separate thread: a slow reader of standard output blocks only this thread.
        threading.Thread(target=_print, args=(_listening(server), events), daemon=True).start()
        server.wait()
    return 0


def _bind(args: argparse.Namespace) -> daytime.Server:
    """Binds, and retries while an address is taken, with the message of the original classroom program."""
    deadline = time.monotonic() + args.bind_timeout
    program = {"program", "bind_timeout", "drain", "quiet"}
    settings: dict[str, Any] = {name: value for name, value in vars(args).items() if name not in program}
    settings.setdefault("listen", [("localhost", daytime.DEFAULT_PORT)])
    while True:
        try:
            return daytime.Server(**settings)
        except OSError as error:
            left = deadline - time.monotonic()
            if error.errno != errno.EADDRINUSE or left <= 0:
                raise
            print(f"Server socket binding threw an error: {error}\nRetrying ....", file=sys.stderr)
            time.sleep(min(1.0, left))


def _listening(server: daytime.Server) -> list[str]:
    """A line for each address, for TCP with the words of the original."""
    lines = []
    for addresses, protocol in [
        (server.addresses, ""),
        (server.addresses_of("rfc867"), " for RFC 867"),
        (server.addresses_of("rfc868"), " for RFC 868"),
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
            if (text := _line(event)) is not None:
                print(text, flush=True)
    except (OSError, ValueError):
        pass  # the server does not depend on its standard output


def _line(event: daytime.Event) -> str | None:
    match event:
        case daytime.Connected(peer=(host, port)) if not host.startswith("unix:"):
            return f"Connection has been established with client IP {host} and port is {port}"
        case daytime.Connected(peer=peer):
            return f"Connection has been established with client {peer.host}"
        case daytime.Refused(peer=(host, port), reason=reason):
            peer_shown = host if host.startswith("unix:") else f"{host}:{port}"
            return f"Connection from {peer_shown} has been refused: {_REASONS[reason]}"
        case daytime.AcceptPaused(error=error):
            return f"Accepting clients is paused, the system lacks file descriptors or memory: {error}"
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
                _say(client.request(command))
            except daytime.CommandError as error:
                _print_error(error.reply)
                code = 1
            except ValueError as error:
                if isinstance(error, daytime.DaytimeError):
                    raise
                _print_error(error)
                code = 1
        return code


def _converse(client: daytime.Client) -> int:
    """The loop of the original. Lines are edited on a terminal."""
    _say(client.greeting)
    screen = sys.stdout.isatty()
    if screen and sys.stdin.isatty():
        import readline  # noqa: F401  # gives input() line editing
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
            _say(client.request(command.strip()))
        except daytime.CommandError as error:
            _say(error.reply)
        except ValueError as error:
            if isinstance(error, daytime.DaytimeError):
                raise
            _say(str(error))


def _is_quit(command: str) -> bool:
    return command.strip().lower() in ("quit", "exit")


def _say(text: str) -> None:
    """Prints a line. On a terminal control characters are escaped, so that a server cannot control the terminal."""
    print(_escaped(text) if sys.stdout.isatty() else text, flush=True)


def _print_error(what: object) -> None:
    print(f"daytime: {_escaped(str(what))}", file=sys.stderr)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def _raise_descriptors() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # the soft limit allows fewer clients


if __name__ == "__main__":
    sys.exit(main())
