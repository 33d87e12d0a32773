"""Signals, finalization and forks, each in a new process."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import daytime
import pytest
from support import run, started


def interpreters() -> dict[str, str | None]:
    """The paths of the supported interpreters, or None."""
    found: dict[str, str | None] = {}
    for version in ("3.11", "3.12", "3.13"):
        root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        installed = sorted(str(path) for path in root.glob(f"versions/{version}.*/bin/python{version}"))
        candidates = [path for path in (*installed, shutil.which(f"python{version}")) if path]
        found[version] = next((path for path in candidates if works(path, version)), None)
    return found


def works(python: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    completed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return completed.stdout.strip() == version


INTERPRETERS = interpreters()

BLOCKED = {
    "serve_forever": "daytime.Server(port=0).serve_forever()",
    "wait": "s = daytime.serve(port=0)\nprint('ready', flush=True)\ns.wait()",
    "request": "c.request('sleep', timeout=30)",
    "another thread's call": (
        "import threading\nthreading.Thread(target=c.request, args=('sleep',), daemon=True).start()\n"
        "import time; time.sleep(0.2)\nc.request('sleep')"
    ),
    "connect": "l = socket.create_server(('127.0.0.1', 0)); daytime.connect(*l.getsockname(), timeout=30)",
    "rfc867": "l = socket.create_server(('127.0.0.1', 0)); daytime.rfc867(*l.getsockname(), timeout=30)",
    "events": "next(s.events())",
}


@pytest.mark.parametrize("what", BLOCKED)
def test_ctrl_c_ends_a_blocking_call_within_200_ms(what: str) -> None:
    code = f"""
import signal, socket, sys, time, warnings
import daytime
signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
s = daytime.serve(port=0, commands={{"sleep": lambda request: time.sleep(30)}})
c = daytime.connect(*s.address, timeout=30)
print("ready", flush=True)
try:
    exec(compile({BLOCKED[what]!r}, 'blocked', 'exec'))  # exec() of a str would report the exception as unhandled
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""
    with started(sys.executable, "-c", code) as child:
        assert child.stdout
        child.stdout.readline()
        time.sleep(0.7)
        began = time.time()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")
    ended = float(out.splitlines()[-1])
    assert ended - began < 0.2


EXIT = """
import sys, threading, time
import daytime
sys.path[:0] = []
asleep = threading.Event()
def sleep(request):
    asleep.set()
    time.sleep(60)
def busy(request):
    asleep.set()
    while True: pass
server = daytime.serve("127.0.0.1", 0, commands={"sleep": sleep, "busy": busy, "quick": lambda request: "quick"})
never_started = daytime.Server("127.0.0.1", 0)
client = daytime.connect(*server.address)
def read(): [event for event in server.events(commands=True)]
def ask(command):
    with daytime.connect(*server.address, timeout=60) as c:
        while True: c.request(command)
for target, args in [(read, ()), (ask, ("sleep",)), (ask, ("quick",)), (ask, ("day",)), (server.wait, ())]:
    threading.Thread(target=target, args=args, daemon=True).start()
assert asleep.wait(10)
time.sleep(int(sys.argv[1]) / 5000)
print("done")
"""


@pytest.mark.timeout(150)
@pytest.mark.parametrize("version", INTERPRETERS)
def test_the_interpreter_ends_50_times_of_50(version: str) -> None:
    python = INTERPRETERS[version]
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    package = str(Path(daytime.__file__).parents[1])
    for number in range(50):
        code = f"import sys; sys.path.insert(0, {package!r})\n" + EXIT
        completed = subprocess.run(
            [python, "-c", code, str(number)], capture_output=True, text=True, timeout=20, check=False
        )
        assert (completed.returncode, completed.stdout, completed.stderr) == (0, "done\n", ""), (number, completed)


PENDING = """
import asyncio, sys, threading
import daytime
kind = sys.argv[1]
waiting = threading.Event()
kept = []
def deferred(request, responder):
    kept.append(responder)
    waiting.set()
async def never(request):
    waiting.set()
    await asyncio.Event().wait()
def hook(client):
    waiting.set()
    threading.Event().wait()
def ask(server):
    try:
        with daytime.connect(*server.address, timeout=60) as client: client.request("wait")
    except (daytime.ServerClosed, daytime.CommandError): pass
def start(**settings):
    server = daytime.Server("127.0.0.1", 0, **settings)
    if kind == "deferred": server.command_deferred("wait", deferred)
    server.start()
    threading.Thread(target=ask, args=(server,), daemon=True).start()
    return server
async def main():
    server = start(commands={"wait": never}, on_connect=lambda client: object())
    await asyncio.to_thread(waiting.wait)
    if sys.argv[2] == "exit": sys.exit(3)
    return server
if kind == "async":
    try: server = asyncio.run(main())
    except SystemExit: server = None
elif kind == "loop":
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(main())
else:
    server = start(on_connect=hook if kind == "hook" else None)
    assert waiting.wait(10)
print("done")
"""


@pytest.mark.parametrize("kind", ["deferred", "async", "async exit", "loop", "hook"])
def test_the_interpreter_ends_with_a_pending_reply(kind: str) -> None:
    for _ in range(5):
        assert run(PENDING, *f"{kind} return".split()[:2]) == "done\n"


def test_a_fork_in_a_handler_and_beside_pending_replies() -> None:
    out = run("""
import os, threading, warnings
import daytime
warnings.simplefilter("ignore", DeprecationWarning)
kept = []
waiting = threading.Event()
server = daytime.Server("127.0.0.1", 0)
@server.command_deferred("later")
def later(request, responder):
    kept.append((request, responder))
    waiting.set()
def check():
    for use in (lambda: kept[0][1].reply("child"), lambda: kept[0][1].error("child"), lambda: kept[0][1].fail("child"),
                lambda: kept[0][0].is_cancelled, lambda: kept[0][1].is_cancelled):
        try:
            use()
        except daytime.StateError as error:
            assert "fork" in str(error)
        else:
            raise AssertionError(use)
    kept.clear()  # the parent's client does not notice
@server.command("fork")
def fork(request):
    if (child := os.fork()) == 0:
        try:
            check()
            assert request.argument == "returns"
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        return "child"  # its thread ends, and the process with it
    return str(os.waitpid(child, 0)[1])
@server.command("raise")
def fork_and_raise(request):
    if (child := os.fork()) == 0:
        os.close(2)  # the report of the exception
        raise ValueError("child")
    return str(os.waitpid(child, 0)[1])
with server, daytime.connect(*server.address) as one, daytime.connect(*server.address) as two:
    replies = []
    asking = threading.Thread(target=lambda: replies.append(one.request("later")))
    asking.start()
    assert waiting.wait(10)
    assert two.request("fork returns") == "0"
    assert two.request("raise") == "0"
    if (child := os.fork()) == 0:
        check()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert replies == []
    kept[0][1].reply("parent")
    asking.join()
    assert replies == ["parent"]
print("fine")
""")
    assert out == "fine\n"


def test_a_forked_child_uses_nothing_of_its_parent_and_closes_the_listeners() -> None:
    out = run("""
import os, socket, sys, threading, warnings
import daytime
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about a fork beside threads
server = daytime.serve("127.0.0.1", 0)
ready = daytime.Server("127.0.0.1", 0)
client = daytime.connect(*server.address)
events = server.events()
def port_of(descriptor):
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return sock.getsockname()[1] if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) else None
    except OSError:
        return None
def listening():
    return sorted(filter(None, (port_of(int(d)) for d in os.listdir("/proc/self/fd"))))
assert listening() == sorted([server.port, ready.port])
if (child := os.fork()) == 0:
    try:
        assert listening() == [], listening()
        for use in (server.start, server.stop, server.stats, server.clients, server.wait, ready.start, client.day,
                    lambda: next(events), lambda: server.state,
                    lambda: server.set_clock(None), server.set_networks, server.reload_zones):
            try:
                use()
            except daytime.StateError as error:
                assert "fork" in str(error)
            else:
                raise AssertionError(use)
        client.close()
        assert "parent" in repr(server)
        with daytime.serve("127.0.0.1", 0, commands={"custom": lambda request: "custom"}) as other:
            assert daytime.request("custom", *other.address) == "custom"
        del server, ready, client, events
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert client.day()
client.close()
server.stop()
ready.stop()
print("fine")
""")
    assert out == "fine\n"


def test_a_child_does_not_keep_clients_of_a_stopped_server_waiting() -> None:
    out = run("""
import os, socket, time, warnings
import daytime
warnings.simplefilter("ignore", DeprecationWarning)
server = daytime.serve("127.0.0.1", 0)
sock = socket.create_connection(server.address, timeout=5)
assert sock.recv(100)
if (child := os.fork()) == 0:
    time.sleep(10)
    os._exit(0)
server.stop()
assert sock.recv(100) == b""
os.kill(child, 9)
os.waitpid(child, 0)
sock.close()
print("fine")
""")
    assert out == "fine\n"


def _ask(address: tuple[str, int]) -> str:
    with daytime.serve("127.0.0.1", 0) as other:
        return daytime.request("day", *address) + daytime.request("day", *other.address)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, daytime_server: daytime.Server) -> None:
    with multiprocessing.get_context(method).Pool(2) as pool:
        for answer in pool.map(_ask, [daytime_server.address] * 4):
            assert answer
        pool.close()
        pool.join()


def test_sigpipe_and_vanishing_clients(daytime_server: daytime.Server) -> None:
    for _ in range(50):
        sock = socket.create_connection(daytime_server.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.sendall(b"help\n" * 100)
        sock.close()
    assert daytime.request("day", *daytime_server.address)
