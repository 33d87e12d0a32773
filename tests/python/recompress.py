"""Compresses wheels again with zopfli, whose Deflate streams are 3 % smaller than those of zlib. The content stays.

python tests/python/recompress.py dist/*.whl
"""

import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import zopfli.zlib  # type: ignore[import-untyped]


class Compressor:
    """The part of zlib.compressobj that zipfile uses."""

    def __init__(self) -> None:
        self.data = bytearray()

    def compress(self, data: bytes) -> bytes:
        self.data += data
        return b""

    def flush(self) -> bytes:
        # Without the header and the checksum of zlib.
        compressed: bytes = zopfli.zlib.compress(bytes(self.data))[2:-4]
        assert zlib.decompress(compressed, -15) == self.data
        return compressed


def recompress(wheel: Path) -> None:
    smaller = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry))
    smaller.replace(wheel)


if __name__ == "__main__":
    module: Any = zipfile
    module._get_compressor = lambda *_: Compressor()
    for name in sys.argv[1:]:
        recompress(Path(name))
