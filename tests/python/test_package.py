"""The installed package."""

import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import daytime
import pytest
from daytime._types import ServerSettings
from support import ROOT, run


def test_the_imported_package_is_this_one() -> None:
    """Another distribution has a module of the same name, see python/README.md."""
    print(daytime.__file__)
    assert Path(daytime._daytime.__file__ or "").parent == Path(daytime.__file__).parent
    assert daytime.__version__ == re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]


def test_import_is_quick_and_loads_little() -> None:
    code = """
import sys, time
import _collections_abc, os
before = set(sys.modules)
began = time.perf_counter()
import daytime
took = time.perf_counter() - began
print(took, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    best, *modules = min(run(code).split() for _ in range(10))
    assert float(best) < 0.005
    assert not {"asyncio", "threading", "typing", "datetime", "socket", "pytest"} & set(modules)


def test_every_public_name_exists_and_is_documented() -> None:
    for name in daytime.__all__:
        thing = getattr(daytime, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), name
            assert thing.__module__.split(".")[0] in ("daytime", "types"), name
    for cls in (daytime.Server, daytime.Client, daytime.AsyncClient, daytime.Request, daytime.Responder):
        for name, member in vars(cls).items():
            if not name.startswith("_"):
                assert inspect.getdoc(member), f"{cls.__name__}.{name}"
    assert set(daytime.__all__) <= set(dir(daytime))
    with pytest.raises(AttributeError):
        daytime.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_the_stubs_have_the_settings_of_the_server() -> None:
    names = list(inspect.signature(daytime.Server).parameters)
    assert names == ["host", "port", *ServerSettings.__annotations__]
    for name in names[2:]:
        assert f"\n{name}\n    " in (daytime.Server.__doc__ or "")
        with pytest.raises((TypeError, ValueError)) as caught:
            daytime.Server("127.0.0.1", 0, **{name: object()})  # type: ignore[arg-type]
        assert "unexpected" not in str(caught.value), name
    with pytest.raises(TypeError, match=r"^Server\(\) got an unexpected keyword argument 'tz'$"):
        daytime.Server(tz="UTC")  # type: ignore[call-arg]


def test_errors_are_also_builtin_errors() -> None:
    bases = {
        daytime.ProtocolError: ValueError,
        daytime.CommandError: LookupError,
        daytime.ReplyError: RuntimeError,
        daytime.RequestTimeout: TimeoutError,
        daytime.ServerClosed: ConnectionError,
        daytime.StateError: RuntimeError,
    }
    for error, base in bases.items():
        assert issubclass(error, base)
        assert issubclass(error, daytime.DaytimeError)
        assert error.__module__ == "daytime"
    assert str(daytime.RequestTimeout(0.5)) == "timed out after 0.5 s before the reply was complete"
    assert str(daytime.ProtocolError(b"SSH\n")).endswith("it sent 4 bytes: 'SSH\\n'")


def test_the_wheel(tmp_path: Path) -> None:
    wheels = sorted((ROOT / "target" / "wheels").glob("daytime_rs-*-cp311-abi3-*.whl"))
    if not wheels:
        pytest.skip("no wheel was built")
    assert wheels[-1].stat().st_size < 640_000
    with zipfile.ZipFile(wheels[-1]) as wheel:
        wheel.extractall(tmp_path)
        names = wheel.namelist()
    assert "daytime/py.typed" in names
    assert "daytime/__init__.pyi" in names
    assert "_daytime_pytest/__init__.py" in names
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport daytime\nprint(daytime.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
