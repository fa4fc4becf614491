"""zstd as archives have it: one frame, whose end is known before anything is unpacked.

Source: https://www.rfc-editor.org/rfc/rfc8878
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVEL = 3
MAX_WINDOW_BYTES = 8 << 20  # as much as level 3 needs, and more
CHUNK_BYTES = 1 << 20

_MAGIC = b"\x28\xb5\x2f\xfd"
_CHECKSUM_BYTES = 4
_BLOCK_BYTES = 128 << 10  # the most that one block holds
_RAW, _RLE = 0, 1
_MOST_UNPACKED = 1 << 30  # bytes that even the smallest file may hold
_MOST_RATIO = 1000


def packer() -> zstandard.ZstdCompressor:
    """Return what packs with all cores."""
    return zstandard.ZstdCompressor(level=LEVEL, threads=-1, write_checksum=True)


def measure_frame(file: IO[bytes]) -> int:
    """Return the size of a file that is one frame, from the headers of its blocks.

    Raises:
        ValueError: It is none, breaks off, goes on after it, or would hold far more than its size.
    """
    start = file.read(18)
    if not start.startswith(_MAGIC):
        raise ValueError("it is not packed with zstd")
    try:
        parameters = zstandard.get_frame_parameters(start)
        place = zstandard.frame_header_size(start)
    except zstandard.ZstdError as error:
        raise ValueError("its end is missing") from error
    if parameters.dict_id or parameters.window_size > MAX_WINDOW_BYTES:
        raise ValueError("it is packed in a way that archives are not")
    place, blocks = _walk(file, place)
    end = place + (_CHECKSUM_BYTES if parameters.has_checksum else 0)
    size = file.seek(0, 2)
    if size < end:
        raise ValueError("its end is missing")
    if size > end:
        raise ValueError("it goes on after its end")
    if blocks * _BLOCK_BYTES > _MOST_UNPACKED + _MOST_RATIO * size:
        raise ValueError(f"its {size} bytes could become {blocks * _BLOCK_BYTES}")
    return size


def _walk(file: IO[bytes], place: int) -> tuple[int, int]:
    """Go from block to block; return where the last one ends, and how many there are."""
    blocks, last = 0, False
    while not last:
        file.seek(place)
        head = file.read(3)
        if len(head) < 3:  # noqa: PLR2004
            raise ValueError("its end is missing")
        number = int.from_bytes(head, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        if kind > _RLE + 1:
            raise ValueError("it is damaged")
        place += 3 + (1 if kind == _RLE else size)
        blocks += 1
    return place, blocks


class Unpacked:
    """The bytes of one frame, in pieces that are never larger than what was asked for.

    ``on_read`` hears how many packed bytes have been read.
    """

    def __init__(self, file: IO[bytes], on_read: Callable[[int], None]) -> None:
        file.seek(0)
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._file, self._on_read = file, on_read
        self._reader = unpacker.stream_reader(file, read_size=CHUNK_BYTES, closefd=False)

    def take(self, size: int) -> bytes:
        """Return exactly so many bytes, at most 1 MiB.

        Raises:
            ValueError: It is damaged, or there are not as many.
        """
        parts, left = [], size
        while left:
            part = self._read(left)
            if not part:
                raise ValueError("it ends in the middle of a file")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes in pieces.

        Raises:
            ValueError: It is damaged, or there are not as many.
        """
        for start in range(0, size, CHUNK_BYTES):
            yield self.take(min(CHUNK_BYTES, size - start))

    def at_end(self) -> bool:
        """Return whether nothing is left.

        Raises:
            ValueError: It is damaged.
        """
        return not self._read(1)

    def _read(self, size: int) -> bytes:
        try:
            part = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise ValueError("it is damaged") from error
        self._on_read(self._file.tell())
        return part
