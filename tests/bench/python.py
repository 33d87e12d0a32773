"""Measures the cost of the Python module: `python tests/bench/python.py`, with the package installed. Arguments name
the parts to measure, see PARTS.

Both sides of a ratio run in alternating rounds, so a disturbance of the machine affects them alike.
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
    """The median duration of start plus stop, in seconds."""
    durations = []
    for _ in range(rounds):
        began = time.perf_counter()
        daytime.serve("127.0.0.1", 0).stop()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def timed(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


def client_against_socket(rounds: int = 200, times: int = 100) -> tuple[float, float]:
    """The median ratio of Client.time() to send and recv of a plain socket, and the time of the latter in seconds.

    One worker serves both connections. With two workers, the ratio depends on the core on which each worker wakes up
    (0.08 and 0.18 were measured), and not on the client.
    """
    with (
        daytime.serve("127.0.0.1", 0, workers=1) as server,
        daytime.connect(*server.address) as client,
        socket.create_connection(server.address) as sock,
    ):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\n")
        sock.recv(1024)

        def plain() -> None:
            sock.send(b"datetime\n")
            sock.recv(1024)

        ratios, plain_times = [], []
        for number in range(rounds):
            if number % 2:
                client_time, plain_time = timed(client.time, times), timed(plain, times)
            else:
                plain_time, client_time = timed(plain, times), timed(client.time, times)
            ratios.append(client_time / plain_time)
            plain_times.append(plain_time / times)
    return statistics.median(ratios), statistics.median(plain_times)


async def async_client_against_streams(rounds: int = 100, times: int = 100) -> tuple[float, float]:
    """The median ratio of `await AsyncClient.request("time")` to write and readline of asyncio's streams, for the same
    command; and the latter's time in seconds. One worker serves both, see client_against_socket().

    The ratio depends on the allocator, see tests/bench/README.md.
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
    """The effect of a busy interpreter on its server: two rates of the server, in requests a second.

    One rate is measured while the main thread of the interpreter is busy, the other while another process is busy.
    Returns the median ratio of the two, and the median of the latter.
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
    durations = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(rounds)]
    return statistics.median(durations)


def report_importing() -> None:
    print(f"import daytime: {importing() * 1e3:.2f} ms")


def report_start() -> None:
    print(f"start plus stop: {start_and_stop() * 1e3:.3f} ms (median)")


def report_client() -> None:
    ratio, plain_time = client_against_socket()
    print(f"Client.time() / plain send and recv: {ratio:.3f} (median; the latter {plain_time * 1e6:.1f} µs)")


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
