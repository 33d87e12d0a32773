"""Helpers of several test files."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import daytime

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, *arguments: str, python: str = sys.executable, timeout: float = 30) -> str:
    """Runs code in a new interpreter, which must succeed and write nothing to standard error."""
    completed = subprocess.run(
        [python, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert (completed.returncode, completed.stderr) == (0, ""), completed
    return completed.stdout


@contextmanager
def started(*command: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """A child process with pipes. It is killed at the end if it still runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def eventually(holds: Callable[[], bool], timeout: float = 5.0) -> None:
    """Polls until a condition holds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def bare(address: daytime.Address, *commands: str) -> list[str]:
    """Sends commands as the original classroom client does: without line ends, and with one recv for each reply."""
    with socket.create_connection(address, timeout=5) as sock:
        replies = [sock.recv(1024).decode()]
        for command in commands:
            sock.sendall(command.encode())
            replies.append(sock.recv(1024).decode())
    return replies


class Original:
    """A server like the original classroom program: commands and replies without line ends."""

    def __init__(self) -> None:
        import threading

        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        replies = {"day": "Sunday", "date": "26-11-22", "time": "15:44:57"}
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                sock.sendall(b"Welcome to the server")
                while command := sock.recv(1024).decode().lower():
                    if command in ("quit", "exit"):
                        break
                    sock.sendall(replies.get(command, "You entered an invalid command").encode())

    def __enter__(self) -> "Original":
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def long_options(text: str) -> set[str]:
    """The long options in a help text."""
    return set(re.findall(r"(?:^|[\s,])(--[a-z][a-z0-9-]+)", text, re.MULTILINE))
