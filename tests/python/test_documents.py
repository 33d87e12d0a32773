"""The Python of the READMEs, and the examples, run."""

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import daytime
import pytest
from support import ROOT, bare

EXAMPLES = ROOT / "examples" / "python"
# Each has sessions with `>>>` and files of tests.
READMES = pytest.mark.parametrize("readme", ["README.md", "python/README.md"])
CHILDREN: "list[subprocess.Popen[str]]" = []


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    for child in CHILDREN:
        child.kill()
        child.communicate()
    CHILDREN.clear()


@READMES
def test_readme(readme: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)
    assert len(blocks) >= 2
    sessions = [block for block in blocks if ">>>" in block]
    assert sessions
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for number, block in enumerate(sessions):
        runner.run(parser.get_doctest(block, {}, f"{readme} {number}", None, 0))
    assert runner.summarize(verbose=False).failed == 0


@READMES
def test_the_readme_s_test_file(readme: str, pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    assert tests
    for block in tests:
        pytester.makepyfile(block)
        assert pytester.runpytest_subprocess("-W", "error").ret == 0


def start(name: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-u", str(EXAMPLES / name), *arguments]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    CHILDREN.append(child)
    return child


def interrupted(child: "subprocess.Popen[str]") -> str:
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=10)
    assert child.returncode == 0
    return out


def port_of(child: "subprocess.Popen[str]") -> int:
    assert child.stdout
    return int(re.findall(r"\d+", child.stdout.readline())[-1])


def test_example_server_and_client() -> None:
    server = start("server.py", "0")
    port = port_of(server)
    assert bare(daytime.Address("127.0.0.1", port), "nonsense")[1] == "You entered an invalid command"
    client = start("client.py", str(port))
    out, _ = client.communicate("day UTC\nnonsense\nquit\n", timeout=10)
    assert "Welcome to the server" in out
    assert "You entered an invalid command" in out
    assert client.returncode == 0
    interrupted(server)


def test_example_commands() -> None:
    server = start("commands.py", "0")
    with daytime.connect("127.0.0.1", port_of(server)) as client:
        assert client.request("echo a b") == "a b"
        assert client.request("double 21") == "42"
        assert client.request("count") == "1"
    interrupted(server)


def test_example_dashboard() -> None:
    dashboard = start("dashboard.py", "0")
    port = port_of(dashboard)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.recv(100)
        sock.sendall(b"day\nquit\n")
        while sock.recv(100):
            pass
    assert dashboard.stdout
    seen = ""
    while "left" not in seen:
        seen += dashboard.stdout.readline()
    assert "day" in seen
    assert "clients" in interrupted(dashboard) + seen


def test_example_tests() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_clock.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
