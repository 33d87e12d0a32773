"""A server with the command `echo TEXT` alone, with the streams of asyncio, for benchmarks.

Its arguments are the port on 127.0.0.1, and `uvloop` for the event loop of that name.
"""

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"Welcome to the server\n")
    try:
        while line := await reader.readline():
            writer.write(line[5:])
            await writer.drain()
    except OSError:
        pass  # the client has left
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
