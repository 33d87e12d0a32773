"""Settings of operators: Unix sockets, networks, the older protocols, time zones."""

import contextlib
import datetime as dt
import errno
import os
import socket
import stat
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import daytime
import pytest
from support import bare, eventually, run

MOMENT = dt.datetime(2026, 11, 22, 15, 44, 57, tzinfo=dt.UTC)
LOCAL = "127.0.0.1:0"
Make = Callable[..., daytime.Server]


@pytest.fixture
def path() -> Iterator[Path]:
    """A path without a file. The names of pytest's directories can be too long for a Unix socket."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "socket")


def read_all(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, timeout=5) as sock:
        return b"".join(iter(lambda: sock.recv(1024), b""))


def test_a_unix_socket(path: Path) -> None:
    host = f"unix:{path}"
    with daytime.serve(host, 12345, clock=MOMENT, timezone="UTC") as server:
        assert server.address == daytime.Address(host, 0)
        assert server.addresses == (server.address,)
        assert (server.host, server.port) == (host, 0)
        assert repr(server) == f"<daytime.Server {host} running clients=0>"
        events = server.events()
        with daytime.connect(*server.address) as client:
            assert client.datetime() == MOMENT
            assert client.peer == server.address
            assert repr(client) == f"<daytime.Client {host}>"
            assert server.clients()[0].peer == daytime.Address("unix:", 0)
        assert next(events) == daytime.Connected(1, daytime.Address("unix:", 0))
        assert next(events) == daytime.Disconnected(1, daytime.Address("unix:", 0), "quit", 2)
        assert daytime.request("day", host) == "Sunday"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.settimeout(5)
            assert sock.recv(1024) == b"Welcome to the server"
        assert path.is_socket()
    assert not path.exists()


def test_an_abstract_name() -> None:
    host = f"unix:@daytime-{os.getpid()}"
    with daytime.serve(host) as server:
        assert server.address == (host, 0)
        assert daytime.request("help", *server.address)
    with pytest.raises(ConnectionRefusedError):
        daytime.connect(host)


def test_any_path_is_a_valid_address(path: Path) -> None:
    host = "unix:" + os.fsdecode(os.fsencode(path) + b"\xff\n\xe2\x82\xac")
    with daytime.serve(host) as server:
        assert server.address == (host, 0)
        assert daytime.request("help", *server.address)
        assert "\n" not in repr(server)
    assert not list(path.parent.iterdir())
    for wrong in ("\udcff", "\ud800"):
        with pytest.raises(UnicodeEncodeError):
            daytime.connect(wrong)


def test_several_kinds_of_addresses(path: Path) -> None:
    with daytime.serve(listen=[f"unix:{path}", (f"unix:{path}2", 7), LOCAL]) as server:
        assert [address.host for address in server.addresses] == [f"unix:{path}", f"unix:{path}2", "127.0.0.1"]
        for address in server.addresses:
            assert daytime.request("help", *address)
    with daytime.serve(listen=LOCAL) as server:
        assert len(server.addresses) == 1


def test_the_mode_of_the_file(path: Path) -> None:
    with daytime.Server(f"unix:{path}", unix_mode=0o640):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(ValueError, match="mode"):
        daytime.Server(f"unix:{path}", unix_mode=0o1000)
    with pytest.raises(OverflowError):
        daytime.Server(f"unix:{path}", unix_mode=-1)
    assert not path.exists()


def test_only_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    with daytime.serve(f"unix:{path}") as server:
        assert daytime.request("help", *server.address)
        with pytest.raises(OSError, match="Address already in use: bind unix:") as caught:
            daytime.Server(f"unix:{path}")
        assert caught.value.errno == errno.EADDRINUSE
        assert daytime.request("help", *server.address)
    path.write_text("precious")
    with pytest.raises(ValueError, match="is not a socket"):
        daytime.Server(f"unix:{path}")
    assert path.read_text() == "precious"


def test_invalid_unix_addresses(path: Path) -> None:
    long = "unix:/" + "x" * 107
    missing = "does not have a path"
    for use in (daytime.Server, daytime.connect, daytime.rfc867, daytime.rfc868):
        for host, error in [(long, "too long"), ("unix:", missing), ("unix:@", missing), ("unix:/a\0", "NUL")]:
            with pytest.raises(ValueError, match=error):
                use(host)
    with pytest.raises(FileNotFoundError, match="connect unix:"):
        daytime.connect(f"unix:{path}")
    with pytest.raises(FileNotFoundError, match="bind unix:"):
        daytime.Server(f"unix:{path}/none")


def test_a_unix_socket_is_adopted_and_its_file_stays(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    with daytime.serve(sock=sock) as server:
        assert sock.fileno() == -1
        assert server.address == (f"unix:{path}", 0)
        assert daytime.request("help", *server.address)
    assert path.is_socket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong, pytest.raises(OSError, match="not supported"):
        daytime.Server(sock=wrong)


def test_the_file_is_removed_by_its_process_and_not_by_a_child(path: Path) -> None:
    out = run(
        """
import os, sys, warnings
import daytime
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about a fork beside threads
host = "unix:" + sys.argv[1]
server, ready = daytime.serve(host), daytime.Server(host + "2")
if (child := os.fork()) == 0:
    del server, ready
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert daytime.request("help", host)
assert os.path.exists(sys.argv[1] + "2")
print("fine")
""",
        str(path),
    )
    assert out == "fine\n"
    assert not list(path.parent.iterdir())


def test_networks(make_daytime_server: Make) -> None:
    server = make_daytime_server(deny=["127.0.0.0/8"])
    events = server.events(timeout=5)
    assert refused(server)
    event = next(events)
    assert isinstance(event, daytime.Refused)
    assert (event.peer.host, event.reason) == ("127.0.0.1", "denied")
    server.set_networks(deny=iter(["127.0.0.0/8"]), allow={"127.0.0.1"})
    with daytime.connect(*server.address) as client:
        assert isinstance(next(events), daytime.Connected)
        server.set_networks(allow="2001:db8::/32")
        assert refused(server)
        assert client.day(), "connected clients stay"
    server.set_networks()
    assert daytime.request("day", *server.address)
    assert server.stats().refused == 2


def refused(server: daytime.Server) -> bool:
    """Whether a new client is closed silently."""
    with pytest.raises((daytime.ServerClosed, ConnectionResetError)) as caught:
        daytime.connect(*server.address)
    return "server is full" not in str(caught.value)


def test_networks_before_the_start(path: Path) -> None:
    server = daytime.Server(listen=[LOCAL, f"unix:{path}"], deny=["0.0.0.0/0"])
    with server:
        assert refused(server)
        assert daytime.request("day", *server.addresses[1]), "clients of a Unix socket do not have a network"
    server = daytime.Server("127.0.0.1", 0, deny=["0.0.0.0/0"])
    server.set_networks()
    with server:
        assert daytime.request("day", *server.address)


def test_invalid_networks(make_daytime_server: Make) -> None:
    server = make_daytime_server(allow="127.0.0.1")
    for wrong in ("localhost", "127.0.0.1/33", "127.0.0", ""):
        with pytest.raises(ValueError, match="is not a network"):
            daytime.Server(port=0, allow=[wrong])
        with pytest.raises(ValueError, match="is not a network"):
            daytime.Server(port=0, deny=[wrong])
        with pytest.raises(ValueError, match="is not a network"):
            server.set_networks(deny=["0.0.0.0/0", wrong])
    for invalid in ([1], 1):
        with pytest.raises(TypeError):
            server.set_networks(allow=invalid)  # type: ignore[arg-type]
    assert daytime.request("day", *server.address), "the server is unchanged"


def test_rfc_867_and_868(make_daytime_server: Make, path: Path) -> None:
    server = make_daytime_server(
        clock=MOMENT, timezone="UTC", listen_rfc867=LOCAL, listen_rfc868=[("127.0.0.1", 0), f"unix:{path}"]
    )
    (text,) = server.addresses_of("rfc867")
    binary, local = server.addresses_of("rfc868")
    assert server.addresses_of("text") == server.addresses == (server.address,)
    with pytest.raises(ValueError, match="is not a service; expected one of text, rfc867, rfc868, metrics, proxied"):
        server.addresses_of("rfc869")  # type: ignore[arg-type]
    assert local == (f"unix:{path}", 0)
    assert len({server.port, text.port, binary.port}) == 3
    assert bare(server.address, "day") == ["Welcome to the server", "Sunday"]
    assert read_all(text) == b"Sunday, November 22, 2026 15:44:57-UTC\r\n"
    assert read_all(binary) == (int(MOMENT.timestamp()) + 2_208_988_800).to_bytes(4, "big")
    assert daytime.rfc867(*text) == "Sunday, November 22, 2026 15:44:57-UTC"
    for address in (binary, local):
        reply = daytime.rfc868(*address, timeout=None)
        assert reply == MOMENT
        assert reply.tzinfo is dt.UTC
    for moment in (
        dt.datetime(2036, 2, 7, 6, 28, 16, tzinfo=dt.UTC),
        dt.datetime(2050, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2104, 2, 26, 9, 42, 23, tzinfo=dt.UTC),
        dt.datetime(1968, 1, 20, 3, 14, 8, tzinfo=dt.UTC),
    ):
        server.set_clock(moment)
        assert daytime.rfc868(*binary) == moment


def test_metrics(make_daytime_server: Make) -> None:
    server = make_daytime_server(listen_metrics=LOCAL, commands={"one": lambda request: "1"})
    assert daytime.request("one", *server.address) == "1"
    eventually(lambda: server.stats().clients == 0)
    ((host, port),) = server.addresses_of("metrics")
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        scraped = response.read().decode()
    without_uptime = [
        [line for line in text.splitlines() if not line.startswith("daytime_uptime_seconds ")]
        for text in (scraped, server.metrics())
    ]
    assert without_uptime[0] == without_uptime[1]
    assert 'daytime_handler_duration_seconds_count{command="one"} 1' in without_uptime[0]
    assert "process_" not in scraped, "the process is the host's"
    by_service = server.stats().by_service
    assert list(by_service) == ["text", "rfc867", "rfc868", "metrics", "proxied", "rfc867_udp", "rfc868_udp"]
    assert [name for name, accepted in by_service.items() if accepted] == ["text"]
    ready = daytime.Server(port=0)
    with pytest.raises(daytime.StateError, match="not started"):
        ready.metrics()
    ready.stop()


def test_a_proxy_names_its_client(make_daytime_server: Make) -> None:
    server = make_daytime_server(listen_proxied=LOCAL, proxy=["127.0.0.1"], proxy_timeout=3)
    (address,) = server.addresses_of("proxied")
    assert address not in server.addresses
    events = server.events(timeout=5)

    def connect(first: bytes) -> socket.socket:
        proxy = socket.create_connection(address, 5)
        with contextlib.suppress(ConnectionError):
            proxy.sendall(first)
        return proxy

    with connect(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 9990\r\n") as proxy:
        assert proxy.recv(21, socket.MSG_WAITALL) == b"Welcome to the server"
        connected = next(events)
        assert isinstance(connected, daytime.Connected)
        assert connected.peer == server.clients()[0].peer == ("192.0.2.1", 56324)
    assert isinstance(next(events), daytime.Disconnected)
    with connect(b"day\n"):
        refused = next(events)
    assert isinstance(refused, daytime.Refused)
    assert (refused.peer[0], refused.reason) == ("127.0.0.1", "proxy_header")
    with pytest.raises(ValueError, match="is not a network"):
        server.set_proxies(["127.0.0.1", "proxy"])
    for name in ("192.0.2.0/24", "127.0.0.2"):
        server.set_proxies([name])
        with connect(b""):
            refused = next(events)
        assert isinstance(refused, daytime.Refused)
        assert refused.reason == "denied"
    server.set_proxies(())
    with connect(b""):
        refused = next(events)
    assert isinstance(refused, daytime.Refused)
    assert refused.reason == "denied", "an empty list names none"
    with pytest.raises(ValueError, match="needs the proxy's network, got none"):
        daytime.Server(listen_proxied=LOCAL)
    with pytest.raises(ValueError, match="needs the proxy's network, got none"):
        daytime.Server(listen_proxied=LOCAL, proxy=())
    with pytest.raises(ValueError, match="proxy_timeout must be at least 3 s"):
        daytime.Server(port=0, proxy_timeout=2)


def test_clients_of_rfc_867_are_events(make_daytime_server: Make) -> None:
    server = make_daytime_server(listen_rfc867=LOCAL)
    events = server.events(timeout=5)
    daytime.rfc867(*server.addresses_of("rfc867")[0])
    connected = next(events)
    assert isinstance(connected, daytime.Connected)
    assert next(events) == daytime.Disconnected(connected.client, connected.peer, "answered", 0)


def test_a_server_of_rfc_867_alone() -> None:
    server = daytime.Server(listen=(), listen_rfc867=[LOCAL], clock=MOMENT, timezone="Asia/Tokyo")
    ((host, port),) = server.addresses_of("rfc867")
    assert server.addresses == server.addresses_of("rfc868") == ()
    assert repr(server) == f"<daytime.Server {host}:{port} ready>"
    for name in ("address", "host", "port"):
        with pytest.raises(daytime.StateError, match="RFC 867"):
            getattr(server, name)
    with server:
        assert daytime.rfc867(host, port) == "Monday, November 23, 2026 00:44:57-JST"


def test_errors_of_clients_of_the_rfcs(make_daytime_server: Make) -> None:
    not_text = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)  # its four bytes are not UTF-8
    server = make_daytime_server(clock=not_text, listen_rfc867=LOCAL, listen_rfc868=LOCAL)
    (text,), (binary,) = server.addresses_of("rfc867"), server.addresses_of("rfc868")
    for read, other in [(daytime.rfc867, binary), (daytime.rfc868, text)]:
        with pytest.raises(daytime.ProtocolError):
            read(*other)
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(daytime.RequestTimeout) as late:
            read(*silent.getsockname(), timeout=0.1)
        assert late.value.timeout == 0.1
        with socket.create_server(("127.0.0.1", 0)) as closing:
            closer = threading.Thread(target=lambda closing=closing: closing.accept()[0].close())
            closer.start()
            with pytest.raises(daytime.ServerClosed):
                read(*closing.getsockname())
            closer.join()
        with pytest.raises(ConnectionRefusedError, match="connect"):
            read("127.0.0.1", 1)
        with pytest.raises(socket.gaierror):
            read("no-such-host.invalid")
        with pytest.raises(OverflowError, match="port"):
            read(port=70000)
        with pytest.raises(ValueError, match="longer than zero"):
            read(timeout=0)


def test_zones_are_reloaded(tmp_path: Path) -> None:
    """The test runs in a new process, because TZDIR names the zones."""

    def zone(name: str, rule: bytes) -> bytes:
        # RFC 9636: a header and a block of one type without a transition, both twice, and the rule.
        header = b"TZif2" + bytes(15) + b"".join(n.to_bytes(4, "big") for n in (0, 0, 0, 0, 1, len(name) + 1))
        return (header + bytes(6) + name.encode() + b"\0") * 2 + b"\n" + rule + b"\n"

    (tmp_path / "Zone").write_bytes(zone("UTC", b"UTC0"))
    (tmp_path / "new").write_bytes(zone("NEW", b"NEW-9"))
    out = run(
        """
import datetime as dt, os, sys
os.environ["TZDIR"] = sys.argv[1]
import daytime
clock = dt.datetime(2026, 11, 22, 15, 44, 57, tzinfo=dt.timezone.utc)
server = daytime.Server("127.0.0.1", 0, clock=clock)
try:
    server.reload_zones()
except daytime.StateError:
    print("not before the start")
with server, daytime.connect(*server.address) as client:
    print(client.time("Zone"))
    os.replace(sys.argv[1] + "/new", sys.argv[1] + "/Zone")
    print(client.time("Zone"))
    server.reload_zones()
    print(client.time("Zone"))
""",
        str(tmp_path),
    )
    assert out.splitlines() == ["not before the start", "15:44:57", "15:44:57", "00:44:57"]


def test_servers_share_a_port() -> None:
    with socket.socket() as reserved:  # it does not listen
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with daytime.serve("127.0.0.1", port, reuse_port=True) as one:
            with pytest.raises(OSError, match="Address already in use") as caught:
                daytime.Server("127.0.0.1", port)
            assert caught.value.errno == errno.EADDRINUSE
            with daytime.serve(listen=[("127.0.0.1", port)], reuse_port=True) as other:
                for _ in range(60):
                    assert daytime.request("help", "127.0.0.1", port)
                accepted = one.stats().accepted, other.stats().accepted
        assert min(accepted) > 0
        assert sum(accepted) == 60
    with pytest.raises(ValueError, match="reuse_port expects a port other than 0"):
        daytime.Server("127.0.0.1", 0, reuse_port=True)
    with pytest.raises(TypeError, match="reuse_port"):
        daytime.Server("127.0.0.1", 0, reuse_port="yes")  # type: ignore[arg-type]


def test_rfc_867_and_868_over_udp(make_daytime_server: Make) -> None:
    server = make_daytime_server(
        clock=MOMENT, timezone="UTC", listen_rfc867_udp=LOCAL, listen_rfc868_udp=[("127.0.0.1", 0)], udp_rate=100
    )
    (text,), (binary,) = server.addresses_of("rfc867_udp"), server.addresses_of("rfc868_udp")
    assert daytime.rfc867_udp(*text) == "Sunday, November 22, 2026 15:44:57-UTC"
    assert daytime.rfc868_udp(*binary) == MOMENT
    with pytest.raises(daytime.ProtocolError):
        daytime.rfc868_udp(*text)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"a longer datagram", binary)
        client.sendto(b"\n", binary)
        assert client.recvfrom(10) == (b"\xee\xad\x8cy", binary)
    # A late answer makes the client repeat its question.
    eventually(lambda: server.stats().datagrams_answered >= 4)
    assert server.stats().datagrams_dropped == 1
    assert 'daytime_udp_datagrams_total{service="rfc868_udp",result="long"} 1\n' in server.metrics()
    with pytest.raises(ValueError, match="udp_rate must be between 1 and 10,000, got 0"):
        daytime.Server(port=0, udp_rate=0)
    with pytest.raises(ValueError, match="is a Unix socket; expected a host, for UDP"):
        daytime.rfc867_udp("unix:/tmp/socket")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(daytime.RequestTimeout):
            daytime.rfc868_udp(*silent.getsockname(), timeout=0.6)
