"""A server with the custom commands `echo TEXT` and `sleep MILLISECONDS`, for benchmarks: one worker, lines from the
start. Its argument is the port on 127.0.0.1.
"""

import sys
import time

import daytime

server = daytime.Server("127.0.0.1", int(sys.argv[1]), workers=1, framing="line")


@server.command("echo")
def echo(request: daytime.Request) -> str:
    return request.argument


@server.command("sleep")
def sleep(request: daytime.Request) -> str:
    time.sleep(int(request.argument) / 1000)
    return "slept"


server.serve_forever()
