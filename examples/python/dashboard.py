"""A server in an asyncio program: it prints each event, and the counters once a second. `python dashboard.py [PORT]`"""

import asyncio
import sys
from collections.abc import AsyncIterable

import daytime


async def print_events(events: AsyncIterable[daytime.Event]) -> None:
    async for event in events:
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
    async with daytime.Server(port=port) as server:
        events = server.events(commands=True)  # subscribed before the port is printed
        print(f"Listening on port {server.port}")
        await asyncio.gather(print_counters(server), print_events(events))


try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT))
except KeyboardInterrupt:
    pass
