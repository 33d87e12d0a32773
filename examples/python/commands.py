"""Custom commands: `python commands.py [PORT]`, then `python -m daytime ask 'double 21'`."""

import itertools
import sys

import daytime

server = daytime.Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT)
numbers = itertools.count(1)


@server.command("echo")
def echo(request: daytime.Request) -> str:
    return request.argument


@server.command("double")
def double(request: daytime.Request) -> str:
    # If int() raises, the client gets "The command failed", and the exception goes to sys.unraisablehook.
    return str(2 * int(request.argument))


@server.command("count")
def count(request: daytime.Request) -> str:
    return str(next(numbers))


@server.command("leave")
def leave(request: daytime.Request) -> None:
    """Closes the connection without a reply."""


print(f"Listening on port {server.port}")
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
