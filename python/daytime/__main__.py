"""The command line: `python -m daytime serve` and `python -m daytime ask`, with the common options of the two programs.

The prompt and the log lines are those of the original classroom program, a Python server and client.
"""

import argparse
import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Literal

import daytime

PROMPT = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: "

_TAKE_ZONES = ("day", "date", "time", "datetime", "tz", "next")
# Asia/Tokyo, +05:30 or UTC. A name such as Japan has the form of a command.
_ZONE = re.compile(r"\S*/\S*|[+-]\d.*|utc", re.IGNORECASE)

_PROTOCOLS: dict[Literal["text", "rfc867", "rfc868", "metrics", "proxied", "rfc867_udp", "rfc868_udp"], str] = {
    "text": "",
    "rfc867": " for RFC 867",
    "rfc868": " for RFC 868",
    "metrics": " for metrics",
    "proxied": " behind a proxy",
    "rfc867_udp": " for RFC 867 over UDP",
    "rfc868_udp": " for RFC 868 over UDP",
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


def _address(text: str, default_port: int = daytime.DEFAULT_PORT) -> tuple[str, int]:
    if text.startswith("unix:"):
        return text, 0
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(default_port)  # an IPv6 address, or a name without a port
    elif text.endswith("]"):
        host, port = text, str(default_port)
    if not port.isascii() or not port.isdecimal() or int(port) > 65535 or not host:
        raise ValueError(text)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _rfc867_address(text: str) -> tuple[str, int]:
    return _address(text, 13)


def _rfc868_address(text: str) -> tuple[str, int]:
    return _address(text, 37)


def _metrics_address(text: str) -> tuple[str, int]:
    return _address(text, 9991)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="daytime",
        description=daytime.__doc__.splitlines()[0] if daytime.__doc__ else "",
        epilog="serve and ask have the common options of the programs daytime-server and daytime-client. Those are "
        "built by cargo, and also read a configuration file, reload it, talk to systemd, and print JSON.",
    )
    parser.add_argument("--version", action="version", version=f"daytime {daytime.__version__}")
    programs = parser.add_subparsers(dest="program", required=True)

    # The destination of each flag is the keyword of daytime.Server. A flag that is left out is not handed over, so that
    # its default is the server's. The last three are options of this program.
    serve = programs.add_parser(
        "serve", help="serve the day, the date and the time", argument_default=argparse.SUPPRESS
    )
    listen: dict[str, Any] = {"metavar": "ADDR", "action": "append"}
    add = serve.add_argument
    add("--listen", type=_address, **listen, help="HOST:PORT or unix:PATH, repeatable [default: localhost:9990]")
    add("--listen-rfc867", type=_rfc867_address, **listen, help="the same for RFC 867, default port 13 [default: none]")
    add("--listen-rfc868", type=_rfc868_address, **listen, help="the same for RFC 868, default port 37 [default: none]")
    add("--listen-rfc867-udp", type=_rfc867_address, **listen, help="the same for RFC 867 over UDP, default port 13")
    add("--listen-rfc868-udp", type=_rfc868_address, **listen, help="the same for RFC 868 over UDP, default port 37")
    add("--udp-rate", type=int, metavar="N", help="answers over UDP a second for one address [default: 10]")
    add("--listen-metrics", type=_metrics_address, **listen, help="the same for metrics over HTTP, default port 9991")
    add("--listen-proxied", type=_address, **listen, help="the same for the clients of a proxy [default: none]")
    add("--proxy", metavar="NETWORK", action="append", help="network of the proxies; repeatable")
    add("--unix-mode", type=_mode, metavar="MODE", help="octal mode of Unix sockets' files [default: by the umask]")
    add("--reuse-port", action="store_true", help="share TCP ports with other servers that have this flag")
    add("--allow", metavar="NETWORK", action="append", help="accept its clients, and no others; repeatable")
    add("--deny", metavar="NETWORK", action="append", help="close connections of its clients silently; repeatable")
    add("--workers", type=int, metavar="N", help="worker threads [default: one for each core]")
    add("--framing", choices=["auto", "line"], help="how the end of a command is found [default: auto]")
    add("--timezone", metavar="ZONE", help="an IANA name, UTC, or an offset such as +05:30 [default: the system's]")
    add("--day-format", metavar="F", help="strftime format of the reply to day [default: %%A]")
    add("--date-format", metavar="F", help="strftime format of the reply to date [default: %%y-%%m-%%d]")
    add("--time-format", metavar="F", help="strftime format of the reply to time [default: %%H:%%M:%%S]")
    add("--greeting", metavar="TEXT", help="the greeting of each client [default: Welcome to the server]")
    add("--max-clients", type=int, metavar="N", help="most clients at a time [default: file descriptors less 64]")
    add("--max-clients-per-source", type=int, metavar="N", help="the same for one address [default: unlimited]")
    add("--idle-timeout", type=_seconds, metavar="SECONDS", help="disconnect silent clients [default: never]")
    add("--first-command-timeout", type=_seconds, metavar="SECONDS", help="for a complete command [default: unlimited]")
    add("--write-timeout", type=_seconds, metavar="SECONDS", help="for a client to read replies [default: 10]")
    add("--proxy-timeout", type=_seconds, metavar="SECONDS", help="for the header of a proxy, at least 3 [default: 5]")
    add("--busy-poll", type=_microseconds, metavar="MICROSECONDS", help="poll before sleeping [default: not at all]")
    add("--drain", type=_seconds, metavar="SECONDS", default=5.0, help="for owed replies on shutdown [default: 5]")
    add("--bind-timeout", type=_seconds, metavar="SECONDS", default=10.0, help="retry a taken address [default: 10]")
    add("--quiet", action="store_true", default=False, help="print no line for each client")
    add("--version", action="version", version=f"daytime {daytime.__version__}")

    ask = programs.add_parser("ask", help="send commands to a server of this package or the original")
    add = ask.add_argument
    add("--connect", type=_address, metavar="ADDR", default=("localhost", daytime.DEFAULT_PORT), help="the server")
    add("--timeout", type=_seconds, metavar="SECONDS", default=5.0, help="for each command [default: 5]")
    add("--version", action="version", version=f"daytime {daytime.__version__}")
    add("commands", metavar="COMMAND", nargs="*", help="print one reply a line [default: read commands from stdin]")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, 1 after an error, 2 after an invalid setting."""
    options = vars(_parser().parse_args(arguments))
    programs: dict[str, Callable[..., int]] = {"serve": _serve, "ask": _ask}
    program = programs[options.pop("program")]
    try:
        return program(**options)
    except BrokenPipeError:
        # The reader of the output is gone. /dev/null takes the flush at the interpreter's exit.
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


def _serve(*, drain: float, bind_timeout: float, quiet: bool, **settings: Any) -> int:
    _raise_descriptors()
    with _bind(bind_timeout, settings) as server:
        for warning in server.warnings:
            _complain(warning)

        def stop(number: int, frame: FrameType | None) -> None:
            if server.state != "running":
                os._exit(1)
            server.drain(drain)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        events = () if quiet else server.events()
        # A separate thread: a slow reader of standard output blocks nothing else.
        threading.Thread(target=_print, args=(_listening(server), events), daemon=True).start()
        server.wait()
    return 0


def _bind(timeout: float, settings: dict[str, Any]) -> daytime.Server:
    """Binds. While an address is taken, it retries and prints the message of the original."""
    deadline = time.monotonic() + timeout
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
    """A line for each address. The lines of TCP addresses are those of the original."""
    lines = []
    for service, protocol in _PROTOCOLS.items():
        for host, port in server.addresses_of(service):
            address = _escaped(host) if host.startswith("unix:") else f"IP: {host} and Port: {port}"
            lines.append(f"Server is listening on {address}{protocol}")
    return lines


def _print(lines: Iterable[str], events: Iterable[daytime.Event]) -> None:
    try:
        for line in lines:
            print(line, flush=True)
        for event in events:
            if isinstance(event, (daytime.Connected, daytime.Refused, daytime.AcceptPaused)):
                print(event, flush=True)
    except (OSError, ValueError):
        pass  # a closed or full standard output does not stop the server


def _ask(*, connect: tuple[str, int], timeout: float, commands: list[str]) -> int:
    with daytime.connect(*connect, timeout=timeout) as client:
        if not commands:
            return _converse(client)
        return _answer(client, _joined(commands), _complain)


def _joined(arguments: list[str]) -> list[str]:
    """Joins a zone to the command before it, as daytime-client does."""
    commands: list[str] = []
    for argument in arguments:
        if commands and commands[-1].strip().lower() in _TAKE_ZONES and _ZONE.fullmatch(argument):
            commands[-1] = f"{commands[-1].strip()} {argument}"
        else:
            commands.append(argument)
    return commands


def _answer(client: daytime.Client, commands: Iterable[str], complain: Callable[[Exception], None]) -> int:
    """Prints the reply to each command until `quit`. Returns the exit code: 1 if a reply was an error."""
    code = 0
    for command in commands:
        if _is_quit(command):
            break
        try:
            _print_line(client.request(command))
        except (daytime.CommandError, ValueError) as error:
            if isinstance(error, daytime.ProtocolError):
                raise
            complain(error)
            code = 1
    return code


def _converse(client: daytime.Client) -> int:
    """The loop of the original. Lines can be edited on a terminal."""
    _print_line(client.greeting)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _answer(client, _lines(""), _complain)
    import readline  # noqa: F401  # input() edits lines with it

    # At the prompt an error is a reply.
    _answer(client, _lines(PROMPT), lambda error: _print_line(getattr(error, "reply", str(error))))
    return 0


def _lines(prompt: str) -> Iterator[str]:
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if line:
            yield line


def _is_quit(command: str) -> bool:
    return command.strip().lower() in ("quit", "exit")


def _print_line(text: str) -> None:
    """Prints a line. Control characters are escaped on a terminal, so that a server cannot control it."""
    print(_escaped(text) if sys.stdout.isatty() else text, flush=True)


def _complain(message: object) -> None:
    print(f"daytime: {_escaped(str(message))}", file=sys.stderr)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def _raise_descriptors() -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        pass  # the soft limit then allows fewer clients


if __name__ == "__main__":
    sys.exit(main())
