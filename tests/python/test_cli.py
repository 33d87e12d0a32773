"""`python -m daytime` and the script `daytime`."""

import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import daytime
import pytest
from daytime.__main__ import _parser, main
from daytime._types import ServerSettings
from support import ROOT, Original, long_options, started

# Services run the binary, which has a configuration file. A Python program passes keywords instead.
ONLY_BINARIES = {"--config", "--print-config", "--check", "--log-format", "--generate", "--watch", "--count", "--json"}
PYTHON = [sys.executable, "-m", "daytime"]


def test_ask(daytime_server: daytime.Server, capsys: pytest.CaptureFixture[str]) -> None:
    address = "{}:{}".format(*daytime_server.address)
    assert main(["ask", "--connect", address, "day UTC", "nonsense", "quit", "never"]) == 1
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("day")
    assert err == "daytime: nonsense: You entered an invalid command\n"
    assert main(["ask", "--connect", address, "--timeout", "2", "timestamp"]) == 0
    assert main(["ask", "--connect", "127.0.0.1:1", "day"]) == 1


def test_a_zone_belongs_to_the_command_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    clock = dt.datetime(2026, 11, 22, 15, 44, 57, tzinfo=dt.UTC)
    with daytime.serve(port=0, timezone="UTC", clock=clock) as server:
        address = "{}:{}".format(*server.address)
        commands = ["time", "+05:30", " Time ", "utc", "day", "timestamp", "time", "Etc/UTC", "timestamp", "a/b"]
        assert main(["ask", "--connect", address, *commands]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == ["21:14:57", "15:44:57", "Sunday", "1795362297"]
    assert err.splitlines()[-1] == "daytime: a/b: You entered an invalid command"


def test_conversation() -> None:
    with Original() as original:
        completed = subprocess.run(
            [*PYTHON, "ask", "--connect", f"127.0.0.1:{original.address[1]}"],
            input="day\n\nnonsense\nTIME\nquit\nday\n",
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert completed.stdout.splitlines() == ["Welcome to the server", "Sunday", "15:44:57"]
    # Errors go to the other output, and into the exit code.
    assert (completed.stderr, completed.returncode) == ("daytime: nonsense: You entered an invalid command\n", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "program", [PYTHON, [str(Path(sys.executable).with_name("daytime"))]], ids=["module", "script"]
)
def test_serve(program: list[str], number: signal.Signals) -> None:
    if not os.path.exists(program[0]):
        pytest.skip("the script is not installed here")
    with started(*program, "serve", "--listen", "127.0.0.1:0", "--greeting", "Ahoy") as child:
        assert child.stdout
        first = child.stdout.readline()
        assert first.startswith("Server is listening on IP: 127.0.0.1 and Port: ")
        with daytime.connect("127.0.0.1", int(first.split()[-1])) as client:
            assert client.greeting == "Ahoy"
        assert "Connection has been established with client IP 127.0.0.1 and port is" in child.stdout.readline()
        child.send_signal(number)
        assert child.wait(5) == 0


def test_a_port_in_use_and_invalid_settings(daytime_server: daytime.Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--listen", f"127.0.0.1:{daytime_server.port}", "--bind-timeout", "0"]) == 1
    assert "Address already in use" in capsys.readouterr().err
    assert main(["serve", "--listen", "127.0.0.1:0", "--workers", "0"]) == 2
    assert main(["serve", "--listen", "127.0.0.1:0", "--allow", "localhost"]) == 2
    assert "is not a network" in capsys.readouterr().err
    for wrong in (
        ["--listen", "a:b"],
        ["--listen-rfc867", "a:b"],
        ["--listen-rfc868", "1:70000"],
        ["--unix-mode", "8"],
    ):
        with pytest.raises(SystemExit):
            main(["serve", *wrong])


def test_a_unix_socket_networks_and_the_older_protocols() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "socket")
        text = ["--listen", f"unix:{path}", "--unix-mode", "600", "--listen", "127.0.0.1:0"]
        older = ["--listen-rfc867", "127.0.0.1:0", "--listen-rfc868", f"unix:{path}2"]
        older += ["--listen-metrics", "127.0.0.1:0"]
        behind = ["--listen-proxied", "127.0.0.1:0", "--proxy", "192.0.2.1", "--proxy-timeout", "3"]
        networks = ["--allow", "192.0.2.0/24", "--allow", "127.0.0.0/8", "--deny", "127.0.0.1"]
        with started(*PYTHON, "serve", *text, *older, *behind, *networks) as child:
            assert child.stdout
            lines = [child.stdout.readline() for _ in range(6)]
            assert lines[0] == f"Server is listening on unix:{path}\n"
            assert lines[1].startswith("Server is listening on IP: 127.0.0.1 and Port: ")
            assert lines[2].startswith("Server is listening on IP: 127.0.0.1 and Port: ")
            assert lines[2].endswith(" for RFC 867\n")
            assert lines[3] == f"Server is listening on unix:{path}2 for RFC 868\n"
            assert lines[4].endswith(" for metrics\n")
            assert lines[5].endswith(" behind a proxy\n")
            assert path.stat().st_mode & 0o777 == 0o600
            command = [*PYTHON, "ask", "--connect", f"unix:{path}", "day UTC"]
            assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("day\n")
            assert child.stdout.readline() == "Connection has been established with client unix:\n"
            with pytest.raises((daytime.ServerClosed, ConnectionResetError)):
                daytime.connect("127.0.0.1", int(lines[1].split()[-1]))
            assert child.stdout.readline().endswith("has been refused: its network is denied\n")
            child.send_signal(signal.SIGTERM)
            assert child.wait(5) == 0
        assert not list(path.parent.iterdir())


def test_flags_are_settings_and_the_server_has_their_defaults() -> None:
    assert set(vars(_parser().parse_args(["serve"]))) == {"program", "drain", "bind_timeout", "quiet"}
    options = ["--write-timeout", "1", "--busy-poll", "5", "--allow", "::/0", "--listen", "a:1", "--listen", "b"]
    given = vars(_parser().parse_args(["serve", *options]))
    assert given["busy_poll"] == 5e-6
    assert given["listen"] == [("a", 1), ("b", 9990)]
    assert set(given) - {"program", "drain", "bind_timeout", "quiet"} <= ServerSettings.__optional_keys__


@pytest.mark.parametrize(("command", "binary"), [("serve", "daytime-server"), ("ask", "daytime-client")])
def test_the_options_are_those_of_the_binaries(command: str, binary: str) -> None:
    built = [ROOT / "target" / profile / binary for profile in ("debug", "release")]
    path = next((path for path in built if path.exists()), None)
    if path is None:
        pytest.skip(f"{binary} was not built")
    of_binary = subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
    of_module = subprocess.run([*PYTHON, command, "--help"], capture_output=True, text=True, check=True).stdout
    assert long_options(of_module) == long_options(of_binary) - ONLY_BINARIES
