"""Makes each system call of the server fail, one at a time, and looks at what becomes of the clients and the server.

`python3 tests/torture/torture.py --seconds 60` does as much as fits into a minute. Without `--seconds` it does
everything, which takes about a quarter of an hour. It needs strace.

A *life* is a server from its start to its end, with clients of every kind. There are two lives: `program` is
`daytime-server`, and `embedded` is a server with custom commands (tests/bench/soak/server.rs). A clean life under
strace shows how often each thread makes each call. A *fault* is a life, a call, an error, and a number n. The life is
then repeated, and the n-th such call of each thread fails with that error.

These outcomes pass:

- right;
- told: a client got an error line in place of a reply;
- dropped: a client was disconnected, and the server serves the others;
- refused: the server did not start, and said why;
- ended: the server ended later, and said why;
- not hit: this life did not make the call so often.

All others fail, unless allowed.toml has a reason.
"""

import argparse
import contextlib
import itertools
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASSES = ["right", "told", "dropped", "refused", "ended", "not hit"]
# The worst comes last. An outcome is the worst thing that happened in a life.
FAILS = ["zone lost", "descriptor kept", "client hang", "end unheard", "silent exit", "wrong byte", "crash"]
HANGS = ["client hang", "end unheard"]
CLASSES = ["not hit", "right", "told", "dropped", "refused", "ended", *FAILS]

# The errors of each call that its man page lists, or that the kernel is known to give. allowed.toml has the reasons for
# those that the kernel cannot give in the place where they are injected. Left out are calls that fail for an invalid
# argument only, such as rt_sigprocmask. So is close: a failure that strace injects leaves the descriptor open, and a
# real one does not.
ERRORS = {
    "accept4": "EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EPROTO EPERM EINTR ENETDOWN EAGAIN",
    "bind": "EADDRINUSE EACCES ENOMEM EADDRNOTAVAIL",
    "brk": "ENOMEM",
    "chmod": "EPERM EROFS EIO",
    "clone3": "EAGAIN ENOMEM",
    "connect": "ECONNREFUSED EAGAIN EACCES",
    "epoll_create1": "EMFILE ENFILE ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "eventfd2": "EMFILE ENFILE ENOMEM",
    "fcntl": "EMFILE ENOMEM",
    "fstat": "EIO ENOMEM",
    "futex": "EINTR EAGAIN",
    "getdents64": "EIO ENOENT",
    "getpeername": "ENOTCONN ENOBUFS",
    "getrandom": "EINTR EAGAIN",
    "getsockname": "ENOBUFS",
    "getsockopt": "ENOBUFS ENOPROTOOPT",
    "ioctl": "EINVAL ENOTTY",
    "listen": "EADDRINUSE EINVAL",
    "lseek": "EINVAL",
    "mmap": "ENOMEM",
    "mprotect": "ENOMEM",
    "newfstatat": "EIO ENOMEM EACCES ENOENT",
    "openat": "EMFILE ENFILE ENOENT EACCES ENOMEM EIO EINTR",
    "pipe2": "EMFILE ENFILE",
    "poll": "EINTR ENOMEM",
    "prlimit64": "EPERM",
    "read": "EINTR EIO EAGAIN",
    "readlink": "EIO ENOENT",
    "recvfrom": "ECONNRESET EINTR ENOMEM ETIMEDOUT",
    "recvmsg": "EINTR ENOMEM ECONNREFUSED",
    "rt_sigtimedwait": "EINTR",
    "sched_getaffinity": "EPERM",
    "sendmsg": "EAGAIN ENOBUFS EPERM EINTR ENETUNREACH",
    "sendto": "ECONNRESET EPIPE EINTR ENOBUFS ENOMEM EAGAIN",
    "setsockopt": "ENOBUFS ENOMEM ENOPROTOOPT EINVAL",
    "shutdown": "ENOTCONN",
    "sigaltstack": "ENOMEM",
    "socket": "EMFILE ENFILE ENOBUFS ENOMEM EAFNOSUPPORT",
    "socketpair": "EMFILE ENFILE ENOMEM",
    "statx": "EIO ENOMEM EACCES ENOENT",
    "unlink": "EACCES EBUSY EIO ENOENT",
    "write": "EINTR EAGAIN EIO ENOSPC EPIPE",
}

GREETING = b"Welcome to the server"
INVALID = b"You entered an invalid command"
FAILED = b"The command failed"
UNKNOWN_ZONE = b"You entered an unknown time zone"
HELP = b"day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, tz [ZONE], next [ZONE], help, quit, exit"
CUSTOM_HELP = HELP + b", count, echo, slow, fail, panic, close, kick, stats, later, lost"
# `#` is any digit. No other reply has one.
DATETIME = b"####-##-##T##:##:##"
FORMATS = ["--day-format", "Sunday", "--date-format", "26-11-22", "--time-format", "15:44:57"]
ZONES = ["Asia/Kolkata", "Asia/Tokyo", "Europe/Berlin"]
# An address from which the configuration denies clients, until it is read again.
DENIED = "127.99.0.1"


@dataclass(frozen=True)
class Fault:
    life: str
    call: str
    error: str
    when: int

    def __str__(self) -> str:
        return f"{self.life} {self.call}:error={self.error}:when={self.when}"


@dataclass
class Outcome:
    fault: Fault | None
    verdict: str = "right"
    notes: list[str] = field(default_factory=list)
    errors: str = ""
    # The lines of strace for the calls that failed.
    hits: list[str] = field(default_factory=list)
    # How often the thread that makes each call most often makes it.
    counts: Counter[str] = field(default_factory=Counter)
    descriptors: int = 0
    was_slow: bool = False

    def note(self, verdict: str, text: str) -> None:
        self.notes.append(f"{verdict}: {text}")
        self.verdict = max(self.verdict, verdict, key=CLASSES.index)

    def was_served(self) -> bool:
        """Whether a client got a right reply."""
        return any(note.startswith("right") for note in self.notes)


class Hang(Exception):
    """A client waits for something that does not come."""


class Server:
    """A server under strace. `argv` is its command line."""

    def __init__(self, argv: list[str], fault: Fault | None, folder: Path, zones: Path) -> None:
        self.trace, self.out, self.err = folder / "trace", folder / "out", folder / "err"
        tracer = ["strace", "-D", "-f", "-qq", "-y", "-o", str(self.trace), "-e", "signal=none"]
        if fault:
            tracer += ["-e", f"trace={fault.call}", "-e", f"inject={fault.call}:error={fault.error}:when={fault.when}"]
        # Both the server and its tracer hold this pipe. When it ends, both have ended, and the trace is complete.
        self.ended, held = os.pipe()
        hidden = ("TZ", "NOTIFY_SOCKET", "LISTEN_PID", "RUST_BACKTRACE")
        env = {name: text for name, text in os.environ.items() if name not in hidden} | {"TZDIR": str(zones)}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            pipe = subprocess.PIPE
            command = [*tracer, *argv]
            self.process = subprocess.Popen(command, stdin=pipe, stdout=out, stderr=err, pass_fds=[held], env=env)
        os.close(held)

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.has_ended()

    def close(self) -> None:
        """Ends the server if it still runs, and waits for the end of its tracer."""
        if not self.has_ended():
            self.process.kill()
            self.process.wait()
        select.select([self.ended], [], [], 10)
        os.close(self.ended)
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def errors(self) -> str:
        return self.err.read_text(errors="replace")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@dataclass
class Life:
    """A life that runs now. Its clients write what happens to them into `outcome`."""

    server: Server
    outcome: Outcome
    folder: Path
    host: str
    patience: float

    def until(self, what: str, holds: Callable[[], bool]) -> bool:
        """Polls until the condition holds, or the server has ended."""
        deadline = time.monotonic() + self.patience
        while not holds():
            if self.server.has_ended():
                return False
            if time.monotonic() > deadline:
                raise Hang(what)
            time.sleep(0.002)
        return True

    def connect(self, port: int = 9990, source: str | None = None, narrow: bool = False) -> socket.socket:
        sock = socket.socket()
        sock.settimeout(self.patience)
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if source:
            sock.bind((source, 0))
        sock.connect((self.host, port))
        return sock

    def connect_unix(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.patience)
        sock.connect(str(self.folder / "socket"))
        return sock

    def client(self, name: str, run: Callable[[], object]) -> None:
        """Runs a client. Its connection may fail. After a hang, no other client has to wait too."""
        if self.outcome.verdict in HANGS:
            return
        try:
            run()
        except TimeoutError:
            self.outcome.note("client hang", f"{name} waits")
        except Hang as hang:
            self.outcome.note("client hang", f"{name} waits for {hang}")
        except OSError as error:
            self.outcome.note("dropped", f"{name}: {error}")

    def talk(self, name: str, sock: socket.socket, text: bytes, replies: list[bytes], half_close: bool = False) -> None:
        """Sends commands, reads up to the end of the connection, and checks the replies."""
        got, reset = b"", ""
        with sock:
            try:
                sock.sendall(text)
                if half_close:
                    sock.shutdown(socket.SHUT_WR)
                while piece := sock.recv(65536):
                    got += piece
            except TimeoutError:
                self.outcome.note("client hang", f"{name} waits after {got[-100:]!r}")
            except OSError as error:
                reset = str(error)
        self.check(name, got, replies, reset)

    def check(self, name: str, got: bytes, replies: list[bytes], reset: str = "") -> None:
        """Compares what a client got with the replies. An error line may be in place of a reply."""
        for reply in replies:
            terminator = reply[len(reply.rstrip(b"\r\n")) :]
            instead = {FAILED: "told", UNKNOWN_ZONE: "zone lost"}
            if reply.startswith(DATETIME):
                instead[DATETIME + b"+00:00"] = "zone lost"
            for line, verdict in [(reply, "right"), *((line + terminator, instead[line]) for line in instead)]:
                if same(got[: len(line)], line):
                    self.outcome.note(verdict, f"{name} got {got[: len(line)]!r} for {reply!r}")
                    got = got[len(line) :]
                    break
            else:
                if same(got, reply[: len(got)]):
                    self.outcome.note("dropped", f"{name} got only {got!r} of {reply!r} {reset}")
                else:
                    self.outcome.note("wrong byte", f"{name} expected {reply!r}, got {got[:200]!r}")
                return
        if got:
            self.outcome.note("wrong byte", f"{name} expected the end, got {got[:200]!r}")

    def begin(self) -> None:
        """Waits until the server listens."""

        def listens() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                self.connect().close()
                return True
            return False

        self.client("the first client", lambda: self.until("the listener", listens))

    def reset(self, text: bytes) -> None:
        with self.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(text)

    def settle(self, clean: int | None) -> None:
        """Waits until the server has closed the descriptors of its clients. A clean life counts the others."""
        if clean is None:
            deadline = time.monotonic() + 1.5
            counts = [self.server.descriptors()]
            while time.monotonic() < deadline:
                time.sleep(0.01)
                counts.append(self.server.descriptors())
            self.outcome.descriptors = min(counts)
            return
        if self.outcome.verdict in HANGS:
            return
        try:
            self.until("closed descriptors", lambda: self.server.descriptors() <= clean)
        except Hang:
            self.outcome.note("descriptor kept", f"{self.server.descriptors()} descriptors, in a clean life {clean}")
        except OSError:
            pass  # the server has ended

    def probe(self) -> None:
        """Asks until each worker has answered, and the Unix socket too. A fault may disturb some of these clients."""
        for connect in [self.connect, self.connect, self.connect_unix]:
            for _ in range(4):
                probed = Outcome(None)
                life = Life(self.server, probed, self.folder, self.host, self.patience)
                life.client("a probe", lambda c=connect, at=life: at.talk("a probe", c(), *lines(b"day")))  # type: ignore[misc]
                if probed.verdict == "right" or self.server.has_ended():
                    break
                if probed.verdict != "dropped":
                    self.outcome.note(probed.verdict, "; ".join(probed.notes))
                if self.outcome.verdict in HANGS:
                    return
            else:
                # A server that is about to end serves no more clients either.
                if not self.server.wait(1):
                    self.outcome.note("client hang", "the server serves no more clients")

    def drain(self, line: bytes, end: Callable[[], None]) -> None:
        """Ends the server. It has an idle client, one that waits for replies, and one that has sent half a command."""
        with contextlib.ExitStack() as stack:
            socks: list[socket.socket] = []

            def prepare(text: bytes, replies: bytes, narrow: bool = False) -> None:
                sock = stack.enter_context(self.connect(narrow=narrow))
                sock.sendall(text)
                got = b""
                while len(got) < len(replies) and (piece := sock.recv(len(replies) - len(got))):
                    got += piece
                self.check("a client before the end", got, [replies])
                socks.append(sock)

            self.client("an idle client", lambda: prepare(b"\n", GREETING + b"\n"))
            if line == HELP + b"\n":
                # The quiet time takes long, so one of the lives has it.
                self.client("a client with half a command", lambda: prepare(b"da", GREETING + INVALID))
            self.client("a busy client", lambda: prepare(b"\n" + b"help\n" * 2000, GREETING + b"\n", narrow=True))
            # A server that has served nobody is about to end by itself.
            if self.outcome.was_served() or not self.server.wait(1):
                end()
            for sock in socks:
                self.client("a client at the end", lambda sock=sock: self.rest(sock, line))  # type: ignore[misc]
        if not self.server.wait(self.patience):
            self.outcome.note("end unheard", "the server was asked to end, and still runs")

    def rest(self, sock: socket.socket, line: bytes) -> None:
        """Reads what is left for a client at the end: whole replies to `help`, or nothing."""
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                got += piece
        whole, odd = got[: len(got) // len(line) * len(line)], got[len(got) // len(line) * len(line) :]
        if whole.replace(line, b"") or not line.startswith(odd):
            self.outcome.note("wrong byte", f"a client at the end got {got[:200]!r}")
        elif odd:
            self.outcome.note("dropped", f"a client at the end got only {odd!r} of a reply")


def same(got: bytes, template: bytes) -> bool:
    """Whether these are equal. `#` in the template is any digit."""
    if b"#" not in template:
        return got == template
    return len(got) == len(template) and re.fullmatch(re.escape(template).replace(rb"\#", rb"\d"), got) is not None


def lines(*commands: bytes, end: bytes = b"\n", leave: bytes = b"quit\n") -> tuple[bytes, list[bytes]]:
    """What a client sends that frames lines, and what it gets. A command may have its reply behind `=`."""
    usual = {b"day": b"Sunday", b"date": b"26-11-22", b"time": b"15:44:57", b"help": HELP}
    pairs = [command.partition(b"=")[::2] for command in commands]
    replies = [(reply or usual[command]) + end for command, reply in pairs]
    return end + b"".join(command + end for command, _ in pairs) + leave, [GREETING + end, *replies]


def program(life: Life, clean: int | None) -> None:
    """The life of `daytime-server`."""
    life.begin()
    many = lines(*[b"day", b"date", b"time", b"help"] * 25)
    life.client("a pipeline", lambda: life.talk("a pipeline", life.connect(), *many))
    half = lines(b"day", b"time Asia/Tokyo=15:44:57", end=b"\r\n", leave=b"time")
    half[1].append(b"15:44:57")
    life.client("a half-closed client", lambda: life.talk("a half-closed client", life.connect_unix(), *half, True))
    zones = lines(
        b"datetime=" + DATETIME + b"+05:30",
        b"datetime Asia/Tokyo=" + DATETIME + b"+09:00",
        b"time Europe/Berlin=15:44:57",
        b"time Europe/Berlin=15:44:57",
        b"tz Europe/Berlin=CET-1CEST,M3.5.0,M10.5.0/3",
        b"time No/Where=" + UNKNOWN_ZONE,
        b"tomorrow=" + INVALID,
        b"x" * 2000 + b"=" + INVALID,
    )
    life.client("a client with zones", lambda: life.talk("a client with zones", life.connect(), *zones))
    life.client("a client of the original", lambda: original(life))
    life.client("a client that resets", lambda: life.reset(b"help\n" * 100))
    life.client("a client of RFC 868", lambda: rfc868(life))
    life.client("a client of RFC 868 over UDP", lambda: rfc868_udp(life))
    reload(life)
    life.probe()
    life.settle(clean)
    life.drain(HELP + b"\n", lambda: life.server.process.send_signal(signal.SIGTERM))


def original(life: Life) -> None:
    """Bare commands, one at a time."""
    with life.connect() as sock:
        for command, reply in [(b"", GREETING), (b"day", b"Sunday"), (b"DATE", b"26-11-22"), (b"time", b"15:44:57")]:
            sock.sendall(command)
            got = b""
            while len(got) < len(reply) and (piece := sock.recv(len(reply) - len(got))):
                got += piece
            life.check("a client of the original", got, [reply])
            if got != reply:
                return
        life.talk("a client of the original", sock, b"quit", [])


def rfc868(life: Life) -> None:
    """Four bytes, and the end: seconds since 1900."""
    with life.connect(9991) as sock:
        got = b""
        while piece := sock.recv(16):
            got += piece
    expected = int(time.time()) + 2_208_988_800
    if len(got) < 4:
        life.outcome.note("dropped", f"a client of RFC 868 got {got!r}")
    elif len(got) > 4 or abs(int.from_bytes(got) - expected % 2**32) > 60:
        life.outcome.note("wrong byte", f"a client of RFC 868 got {got!r}")


def rfc868_udp(life: Life) -> None:
    """The same in a datagram. A datagram may be lost, and the client repeats its question."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((life.host, 9992))
        sock.settimeout(0.3)
        for _ in range(10):
            try:
                sock.send(b"")
                got = sock.recv(16)
            except OSError:
                continue
            expected = int(time.time()) + 2_208_988_800
            if len(got) != 4 or abs(int.from_bytes(got) - expected % 2**32) > 60:
                life.outcome.note("wrong byte", f"a client of RFC 868 over UDP got {got!r}")
            return
    life.outcome.note("dropped", "a client of RFC 868 over UDP got no answer")


def reload(life: Life) -> None:
    """SIGHUP makes the server read the denied networks again."""

    def is_told() -> bool:
        return "the networks are unchanged" in life.server.errors()

    def is_served() -> bool:
        with contextlib.suppress(OSError), life.connect(source=DENIED) as sock:
            return is_told() or sock.recv(64) != b""
        return is_told()

    if not life.outcome.was_served():
        return  # the server is about to end, and may not handle signals
    if is_served():
        life.outcome.note("wrong byte", "a client of a denied network is served")
    (life.folder / "config.toml").write_text("")
    life.server.process.send_signal(signal.SIGHUP)
    life.client("a client after SIGHUP", lambda: life.until("being served", is_served))
    if is_told():
        life.outcome.note("told", "SIGHUP failed with a message")


def embedded(life: Life, clean: int | None) -> None:
    """The life of a server with custom commands."""
    life.begin()
    custom = lines(
        b"count=1",
        b"echo a b=a b",
        b"slow x=x",
        b"fail=" + FAILED,
        b"panic=" + FAILED,
        b"later on=on",
        b"lost=" + FAILED,
        b"day",
        b"time Asia/Tokyo=00:44:57",
        b"time Asia/Tokyo=00:44:57",
        b"count=2",
        b"close=closed",
        leave=b"day\n",
    )
    life.client("a client", lambda: life.talk("a client", life.connect(), *custom))
    half = lines(b"echo 1=1", b"later 2=2", b"slow 3=3", end=b"\r\n", leave=b"echo 4")
    half[1].append(b"4")
    life.client("a half-closed client", lambda: life.talk("a half-closed client", life.connect_unix(), *half, True))
    life.client("a client that is kicked", lambda: life.talk("kicked", life.connect(), b"\nkick\n", [GREETING + b"\n"]))
    life.client("a client that leaves", lambda: life.reset(b"\nslow x\n"))
    with contextlib.ExitStack() as stack:
        # Several handlers at a time, so that several threads start.
        text, replies = lines(b"slow 1=1", b"echo 2=2")
        socks: list[socket.socket] = []
        for _ in range(4):
            life.client("one of four", lambda: socks.append(stack.enter_context(life.connect())))
        for sock in socks:
            life.client("one of four", lambda sock=sock: sock.sendall(text))  # type: ignore[misc]
        for sock in socks:
            life.client("one of four", lambda sock=sock: life.talk("one of four", sock, b"", replies))  # type: ignore[misc]
    life.probe()
    life.settle(clean)
    life.drain(CUSTOM_HELP + b"\n", lambda: life.server.process.stdin.close() if life.server.process.stdin else None)


LIVES: dict[str, Callable[[Life, int | None], None]] = {"program": program, "embedded": embedded}


class Torture:
    def __init__(self, programs: Path, zones: Path, patience: float) -> None:
        self.programs, self.zones, self.patience = programs, zones, patience
        self.addresses = itertools.count()
        self.clean: dict[str, Outcome] = {}

    def command(self, name: str, host: str, folder: Path) -> list[str]:
        listen = [f"{host}:9990", f"unix:{folder / 'socket'}"]
        if name == "embedded":
            return [str(self.programs / "examples" / "soak"), "serve", "0", *listen]
        (folder / "config.toml").write_text('deny = ["127.99.0.0/16"]\n')
        options = ["--config", str(folder / "config.toml"), "--workers", "2", "--drain", "2", "--bind-timeout", "0"]
        options += ["--listen", listen[0], "--listen", listen[1], "--listen-rfc868", f"{host}:9991"]
        options += ["--listen-rfc868-udp", f"{host}:9992"]
        return [str(self.programs / "daytime-server"), *options, "--timezone", "Asia/Kolkata", *FORMATS]

    def confirmed(self, fault: Fault) -> Outcome:
        """Runs a life with a fault. The machine may be slow, so a hang must happen twice."""
        outcome = self.run(fault.life, fault)
        if outcome.verdict not in HANGS:
            return outcome
        again = self.run(fault.life, fault)
        again.was_slow = again.verdict not in HANGS
        return again

    def run(self, name: str, fault: Fault | None) -> Outcome:
        """Runs a life to its end. Each has an address of its own."""
        n = next(self.addresses)
        host = f"127.{100 + os.getpid() % 100}.{n // 250 % 250}.{1 + n % 250}"
        outcome = Outcome(fault)
        with tempfile.TemporaryDirectory(prefix="daytime-") as path:
            folder = Path(path)
            server = Server(self.command(name, host, folder), fault, folder, self.zones)
            try:
                LIVES[name](Life(server, outcome, folder, host, self.patience), self.clean_descriptors(name))
            finally:
                running = not server.has_ended()
                server.close()
            outcome.errors = server.errors()
            self.judge_end(outcome, server.process.returncode, running)
            self.read_trace(outcome, server.trace)
        return outcome

    def clean_descriptors(self, name: str) -> int | None:
        return self.clean[name].descriptors if name in self.clean else None

    def judge_end(self, outcome: Outcome, code: int, was_killed: bool) -> None:
        if "panicked at" in outcome.errors or (code < 0 and not was_killed):
            outcome.note("crash", f"the server ended with code {code}")
        elif code and not was_killed and not outcome.errors.strip():
            outcome.note("silent exit", f"the server ended with code {code}")
        elif code and not was_killed:
            outcome.note("ended" if outcome.was_served() else "refused", f"the server ended with code {code}")

    def read_trace(self, outcome: Outcome, trace: Path) -> None:
        text = trace.read_text(errors="replace") if trace.exists() else ""
        outcome.hits = [line for line in text.splitlines() if line.endswith("(INJECTED)")]
        if outcome.fault:
            if not outcome.hits:
                outcome.verdict = "not hit" if outcome.verdict == "right" else outcome.verdict
            return
        threads = Counter(re.findall(r"^(\d+) +(\w+)\(", text, re.MULTILINE))
        for (_, call), count in threads.items():
            outcome.counts[call] = max(outcome.counts[call], count)

    def faults(self) -> list[Fault]:
        """The first call of each kind with each error, then the others in an order that is the same each time."""
        faults = [
            Fault(name, call, error, when)
            for name, outcome in self.clean.items()
            for call, errors in ERRORS.items()
            for error in errors.split()
            for when in range(1, outcome.counts[call] + 1)
        ]
        random.Random(0).shuffle(faults)
        return sorted(faults, key=lambda fault: fault.when != 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time [default: never]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="lives at a time [default: one a core]")
    parser.add_argument("--patience", type=float, default=5, help="seconds until a wait is a hang [default: 5]")
    parser.add_argument("--only", metavar="FAULT", help="one fault, as the report prints it, with all its details")
    args = parser.parse_args()
    if not can_trace():
        print("SKIPPED: torture: strace is missing, or may not trace anything")
        return 0
    if not all(Path("/usr/share/zoneinfo", zone).exists() for zone in ZONES):
        print("SKIPPED: torture: there is no database of time zones")
        return 0
    build = ["cargo", "build", "--quiet", "--locked", "--features", "capi"]
    subprocess.run([*build, "--bin", "daytime-server", "--example", "soak"], cwd=ROOT, check=True)
    programs = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "debug"
    with tempfile.TemporaryDirectory(prefix="daytime-") as zones:
        # A server opens each file of the zone database when it starts.
        for zone in ZONES:
            copy = Path(zones, zone)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(Path("/usr/share/zoneinfo", zone).read_bytes())
        return run(Torture(programs, Path(zones), args.patience), args.seconds, args.jobs, args.only)


def run(torture: Torture, seconds: float, jobs: int, only: str | None) -> int:
    """Runs the clean lives, then the faults, and prints the report."""
    end = time.monotonic() + seconds
    for name in LIVES:
        outcome = torture.run(name, None)
        if outcome.verdict != "right":
            print(f"the clean life of {name} is not right:", *outcome.notes, outcome.errors, sep="\n")
            return 1
        torture.clean[name] = outcome
    allowed = Allowed.load()
    faults = torture.faults()
    if only:
        faults = [parse(only)]
    # A hang that is expected takes long.
    faults.sort(key=lambda fault: any(entry.hangs(fault) for entry in allowed))

    def run_in_time(fault: Fault) -> Outcome | None:
        return torture.confirmed(fault) if time.monotonic() < end else None

    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(run_in_time, fault) for fault in faults]):
            if done := future.result():
                outcomes.append(done)
    return report(outcomes, len(faults), allowed, bool(only))


def can_trace() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0
    )


def parse(text: str) -> Fault:
    match = re.fullmatch(r"(\w+) (\w+):error=(\w+):when=(\d+)", text)
    if not match or match[1] not in LIVES:
        sys.exit(f"a fault is such as 'program read:error=EIO:when=1', got {text!r}")
    return Fault(match[1], match[2], match[3], int(match[4]))


@dataclass
class Allowed:
    """A failure that is expected, from allowed.toml."""

    reason: str
    calls: list[str]
    errors: list[str]
    outcomes: list[str]
    life: str = ""
    # A regular expression for the line of strace, or for the standard error.
    where: str = ""
    # The greatest n.
    last: int = 1_000_000
    count: int = 0

    @staticmethod
    def load() -> list["Allowed"]:
        table = tomllib.loads(Path(__file__).with_name("allowed.toml").read_text())
        return [Allowed(**entry) for entry in table.get("allowed", [])]

    def covers(self, fault: Fault) -> bool:
        is_call = fault.call in self.calls and fault.error in self.errors and fault.when <= self.last
        return is_call and self.life in ("", fault.life)

    def hangs(self, fault: Fault) -> bool:
        return self.covers(fault) and not set(HANGS).isdisjoint(self.outcomes)

    def allows(self, outcome: Outcome) -> bool:
        texts = [*outcome.hits, outcome.errors]
        return (
            outcome.fault is not None
            and self.covers(outcome.fault)
            and outcome.verdict in self.outcomes
            and any(re.search(self.where, text) for text in texts)
        )


def report(outcomes: list[Outcome], total: int, allowed: list[Allowed], details: bool) -> int:
    failures = []
    for outcome in sorted(outcomes, key=lambda outcome: str(outcome.fault)):
        if outcome.verdict in FAILS:
            entry = next((entry for entry in allowed if entry.allows(outcome)), None)
            if entry:
                entry.count += 1
            else:
                failures.append(outcome)
    for outcome in outcomes if details else failures:
        print(f"\n{outcome.fault}: {outcome.verdict}")
        texts = [*outcome.notes, *outcome.hits, *outcome.errors.splitlines()]
        print(*(f"    {text}" for text in texts if details or not text.startswith("right: ")), sep="\n")
    lives = list(LIVES)
    counts = Counter((outcome.verdict, outcome.fault.life) for outcome in outcomes if outcome.fault)
    print(f"\n{'':18}", *(f"{name:>10}" for name in lives))
    for verdict in CLASSES:
        print(f"{verdict:18}", *(f"{counts[verdict, name]:10}" for name in lives))
    for entry in allowed:
        print(f"allowed {entry.count:4} times: {entry.reason}")
    faults = [outcome.fault for outcome in outcomes if outcome.fault and outcome.was_slow]
    for fault in faults:
        if not any(entry.hangs(fault) for entry in allowed):
            print(f"hung once, but not twice: {fault}")
    print(f"{len(outcomes)} of {total} faults; {len(failures)} failures that are not allowed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
