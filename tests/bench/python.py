"""What the Python face costs, measured: `python tests/bench/python.py` where the package is installed. Arguments name
the parts to measure, see PARTS.

Ratios are of rounds that take turns, so that whatever else the machine does meets both sides alike.
"""

import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import daytime

BUSY = "while True: pass"
LOAD = """
import socket, sys, time
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(b"\\n"); sock.recv(100)
for line in sys.stdin:
    end, n = time.perf_counter() + float(line), 0
    while time.perf_counter() < end:
        sock.sendall(b"time\\n"); sock.recv(100); n += 1
    print(n, flush=True)
"""


def start_and_stop(rounds: int = 300) -> float:
    """The median of start plus stop, in seconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        daytime.serve("127.0.0.1", 0).stop()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def timed(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


def client_against_socket(rounds: int = 200, times: int = 100) -> tuple[float, float]:
    """The median ratio of Client.time() to send and recv of a bare socket, for the same command; and the latter's
    time in seconds.

    One worker serves both: with two, each connection has its own, and which core that one wakes on decides the ratio
    (0.08 and 0.18 were seen), not the client.
    """
    with (
        daytime.serve("127.0.0.1", 0, workers=1) as server,
        daytime.connect(*server.address) as client,
        socket.create_connection(server.address) as sock,
    ):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\n")
        sock.recv(1024)

        def bare() -> None:
            sock.send(b"datetime\n")
            sock.recv(1024)

        ratios, bares = [], []
        for number in range(rounds):
            if number % 2:
                ours, theirs = timed(client.time, times), timed(bare, times)
            else:
                theirs, ours = timed(bare, times), timed(client.time, times)
            ratios.append(ours / theirs)
            bares.append(theirs / times)
    return statistics.median(ratios), statistics.median(bares)


async def async_client_against_streams(rounds: int = 100, times: int = 100) -> tuple[float, float]:
    """The median ratio of `await AsyncClient.request("time")` to write and readline of asyncio's streams, for the same
    command; and the latter's time in seconds. One worker serves both, see client_against_socket().

    The allocator decides it, see tests/bench/README.md.
    """
    with daytime.serve("127.0.0.1", 0, workers=1) as server:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"\n")
        await reader.readline()

        async def streams() -> float:
            began = time.perf_counter()
            for _ in range(times):
                writer.write(b"time\n")
                await reader.readline()
            return time.perf_counter() - began

        async def ours() -> float:
            began = time.perf_counter()
            for _ in range(times):
                await client.request("time")
            return time.perf_counter() - began

        async with await daytime.AsyncClient.connect(*server.address) as client:
            ratios, raws = [], []
            for number in range(rounds):
                took = {side: await side() for side in ((ours, streams) if number % 2 else (streams, ours))}
                ratios.append(took[ours] / took[streams])
                raws.append(took[streams] / times)
        writer.close()
        await writer.wait_closed()
    return statistics.median(ratios), statistics.median(raws)


def beside_a_busy_interpreter(rounds: int = 12, seconds: float = 1.0) -> tuple[float, float]:
    """The rate of a server whose own interpreter is busy, against the rate of the same server beside a busy process:
    the median ratio, and the latter's rate in requests a second.
    """
    ratios, rates = [], []
    with daytime.serve("127.0.0.1", 0) as server:
        load = subprocess.Popen(
            [sys.executable, "-c", LOAD, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert load.stdin
        assert load.stdout
        for number in range(rounds):
            rate = {}
            for inside in (True, False) if number % 2 else (False, True):
                busy = contextlib.nullcontext() if inside else subprocess.Popen([sys.executable, "-c", BUSY])
                time.sleep(0.1)
                load.stdin.write(f"{seconds}\n")
                load.stdin.flush()
                if inside:
                    end = time.perf_counter() + seconds
                    while time.perf_counter() < end:
                        pass
                rate[inside] = int(load.stdout.readline()) / seconds
                if isinstance(busy, subprocess.Popen):
                    busy.kill()
                    busy.wait()
            ratios.append(rate[True] / rate[False])
            rates.append(rate[False])
        load.stdin.close()
        load.wait()
        load.stdout.close()
    return statistics.median(ratios), statistics.median(rates)


def importing(rounds: int = 15) -> float:
    """The median time of `import daytime` in a fresh interpreter, in seconds."""
    code = "import time; t = time.perf_counter(); import daytime; print(time.perf_counter() - t)"
    took = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(rounds)]
    return statistics.median(took)


def report_importing() -> None:
    print(f"import daytime: {importing() * 1e3:.2f} ms")


def report_start() -> None:
    print(f"start plus stop: {start_and_stop() * 1e3:.3f} ms (median)")


def report_client() -> None:
    ratio, bare_time = client_against_socket()
    print(f"Client.time() / bare send and recv: {ratio:.3f} (median; the latter {bare_time * 1e6:.1f} µs)")


def report_async() -> None:
    ratio, streams_time = asyncio.run(async_client_against_streams())
    print(f"AsyncClient.request() / asyncio's streams: {ratio:.3f} (median; the latter {streams_time * 1e6:.1f} µs)")


def report_busy() -> None:
    ratio, rate = beside_a_busy_interpreter()
    print(f"beside a busy main thread / beside a busy process: {ratio:.3f} (median; the latter {rate:.0f} /s)")


PARTS = {
    "import": report_importing,
    "start": report_start,
    "client": report_client,
    "async": report_async,
    "busy": report_busy,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
