"""An asyncio program that serves, and prints what happens and, every second, how much: `python dashboard.py [PORT]`."""

import asyncio
import sys
from collections.abc import Iterator

import daytime


async def tell(events: Iterator[daytime.Event]) -> None:
    while event := await asyncio.to_thread(next, events, None):
        match event:
            case daytime.Connected(client, peer):
                print(f"{client} came from {peer.host}")
            case daytime.CommandServed(client, command, ok):
                print(f"{client} asked {command}{'' if ok else ', which is nothing'}")
            case daytime.CommandFailed(client, command, why):
                print(f"{client} asked {command}, which failed: {why}")
            case daytime.Disconnected(client, _, reason, commands):
                print(f"{client} left after {commands} commands: {reason}")
            case daytime.Refused(peer, reason):
                print(f"{peer.host} was turned away: {reason}")
            case daytime.AcceptPaused(why):
                print(f"nobody can be accepted: {why}")


async def count(server: daytime.Server) -> None:
    while True:
        stats = server.stats()
        print(f"{stats.clients} clients, {stats.commands} commands, {stats.bytes_out} bytes")
        await asyncio.sleep(1)


async def main(port: int) -> None:
    with daytime.serve(port=port) as server:
        events = server.events(commands=True)  # before anybody is told where to come
        print(f"Listening on port {server.port}")
        try:
            await asyncio.gather(tell(events), count(server))
        finally:
            server.stop()  # which ends the events, and with them the thread that waits for one


try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT))
except KeyboardInterrupt:
    pass
