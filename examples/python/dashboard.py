"""A server in an asyncio program: it prints each event, and the counters once a second. `python dashboard.py [PORT]`"""

import asyncio
import sys
from collections.abc import Iterator

import daytime


async def print_events(events: Iterator[daytime.Event]) -> None:
    while event := await asyncio.to_thread(next, events, None):
        match event:
            case daytime.Connected(client, peer):
                print(f"{client} connected from {peer.host}")
            case daytime.CommandServed(client, command, ok):
                print(f"{client} sent {command}{'' if ok else ', which is not valid'}")
            case daytime.CommandFailed(client, command, error):
                print(f"{client} sent {command}, which failed: {error}")
            case daytime.Disconnected(client, _, reason, commands):
                print(f"{client} left after {commands} commands: {reason}")
            case daytime.Refused(peer, reason):
                print(f"{peer.host} was rejected: {reason}")
            case daytime.AcceptPaused(error):
                print(f"the server cannot accept connections: {error}")


async def print_counters(server: daytime.Server) -> None:
    while True:
        stats = server.stats()
        print(f"{stats.clients} clients, {stats.commands} commands, {stats.bytes_out} bytes")
        await asyncio.sleep(1)


async def main(port: int) -> None:
    with daytime.serve(port=port) as server:
        events = server.events(commands=True)  # subscribed before the port is printed
        print(f"Listening on port {server.port}")
        try:
            await asyncio.gather(print_events(events), print_counters(server))
        finally:
            server.stop()  # ends the events, and so the thread that waits for the next one


try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT))
except KeyboardInterrupt:
    pass
