"""Custom commands: `python commands.py [PORT]`, then `python -m daytime ask 'double 21'`."""

import itertools
import sys

import daytime

server = daytime.Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT)
numbers = itertools.count(1)


@server.command("echo")
def echo(request: daytime.Request) -> str:
    return request.argument


@server.command("double", usage="double NUMBER")
def double(request: daytime.Request) -> str:
    try:
        return str(2 * int(request.argument))
    except ValueError:
        # Of any other exception, the client gets "The command failed", and sys.unraisablehook the rest.
        raise daytime.ReplyError(f"not a number: {request.argument!r}") from None


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
