"""The Python blocks of the documents, and the examples."""

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager

import daytime
import pytest
from support import ROOT, bare, started

EXAMPLES = ROOT / "examples" / "python"
# The number of sessions and of test files in each document.
DOCUMENTS = {"README.md": (1, 0), "python/README.md": (10, 1)}


def blocks(document: str, text: str) -> list[str]:
    """The Python blocks of a document that contain a text."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [block for block in found if text in block]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sessions(document: str) -> None:
    sessions = blocks(document, ">>>")
    assert len(sessions) == DOCUMENTS[document][0]
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for number, block in enumerate(sessions):
        runner.run(parser.get_doctest(block, {}, f"{document} {number}", None, 0))
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_test_files(document: str, pytester: pytest.Pytester) -> None:
    tests = blocks(document, "def test_")
    assert len(tests) == DOCUMENTS[document][1]
    for block in tests:
        pytester.makepyfile(block)
        assert pytester.runpytest_subprocess("-W", "error").ret == 0


def start(name: str, *arguments: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    return started(sys.executable, "-u", EXAMPLES / name, *arguments)


def interrupted(child: "subprocess.Popen[str]") -> str:
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=10)
    assert child.returncode == 0
    return out


def port_of(child: "subprocess.Popen[str]") -> int:
    assert child.stdout
    return int(re.findall(r"\d+", child.stdout.readline())[-1])


def test_example_server_and_client() -> None:
    with start("server.py", "0") as server:
        port = port_of(server)
        assert bare(daytime.Address("127.0.0.1", port), "nonsense")[1] == "You entered an invalid command"
        with start("client.py", str(port)) as client:
            out, _ = client.communicate("day UTC\nnonsense\nquit\n", timeout=10)
        assert "Welcome to the server" in out
        assert "You entered an invalid command" in out
        assert client.returncode == 0
        interrupted(server)


def test_example_classroom_client(daytime_server: daytime.Server) -> None:
    with start("classroom_client.py", *map(str, daytime_server.address)) as client:
        out, _ = client.communicate("nonsense\nquit\n", timeout=10)
    assert "Welcome to the server" in out
    assert "You entered an invalid command" in out
    assert client.returncode == 0


def test_example_commands() -> None:
    with start("commands.py", "0") as server:
        with daytime.connect("127.0.0.1", port_of(server)) as client:
            assert client.request("echo a b") == "a b"
            assert client.request("double 21") == "42"
            with pytest.raises(daytime.CommandError, match="not a number: 'it'"):
                client.request("double it")
            assert client.request("count") == "1"
        interrupted(server)


def test_example_dashboard() -> None:
    with start("dashboard.py", "0") as dashboard:
        port = port_of(dashboard)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.recv(100)
            sock.sendall(b"day\nquit\n")
            while sock.recv(100):
                pass
        assert dashboard.stdout
        output = ""
        while "left" not in output:
            output += dashboard.stdout.readline()
        assert "day" in output
        assert "clients" in interrupted(dashboard) + output


def test_example_tests() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_clock.py")]
    completed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert completed.returncode == 0, completed.stdout
