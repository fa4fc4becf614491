"""Make the data to train on: the same pixels and labels on every machine, from no package.

Images are (64, 64, 3) uint8, height, width, RGB: noise with filled boxes. Labels are one line a
box: class, and centre and size as fractions of the image. The boxes are large for a reason: which
anchors a box of 8 to 39 pixels is given to hangs on the last digit of the first predictions. With
those, two sets of CPU instructions were 15 % apart at step 8; with these they stay below 1e-6.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 64
CLASSES = ("small", "large")

_BOXES = 2  # an image
_NUMBERS = 8  # bytes drawn for one box
_VALIDATED = 4  # images of those, after the training
_DATA = """\
path: {path}
train: images
val: val.txt
nc: {count}
names: [{names}]
"""


def make_data(folder: Path, count: int) -> tuple[Path, str]:
    """Write ``count`` images with their labels below an absolute folder.

    Returns:
        The path of the data.yaml, and the sha256 (hex) over all pixels and labels in order.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    content = hashlib.sha256()
    for number in range(count):
        pixels, labels = draw_image(number)
        (folder / "images" / f"{number:03}.png").write_bytes(_png(pixels))
        (folder / "labels" / f"{number:03}.txt").write_bytes(labels)
        content.update(pixels + labels)
    (folder / "val.txt").write_text(_list_validated(folder), encoding="utf-8")
    data = folder / "data.yaml"
    names = ", ".join(CLASSES)
    data.write_text(_DATA.format(path=folder, count=len(CLASSES), names=names), encoding="utf-8")
    return data, content.hexdigest()


def _list_validated(folder: Path) -> str:
    return "".join(f"{folder}/images/{number:03}.png\n" for number in range(_VALIDATED))


def draw_image(number: int) -> tuple[bytes, bytes]:
    """Return one image's pixels, row by row, and its labels, one line a box."""
    noise = hashlib.shake_256(b"snapenv smoke image %d" % number)
    drawn = noise.digest(SIDE * SIDE * 3 + _BOXES * _NUMBERS)
    pixels = bytearray(drawn[_BOXES * _NUMBERS :])
    lines = [
        _draw_box(pixels, drawn[start : start + _NUMBERS])
        for start in range(0, _BOXES * _NUMBERS, _NUMBERS)
    ]
    return bytes(pixels), "".join(lines).encode()


def _draw_box(pixels: bytearray, numbers: bytes) -> str:
    """Fill one box with its own colour and return its label; sides are 24 to 31 or 32 to 47."""
    kind = numbers[0] % len(CLASSES)
    width, height = (24 + 8 * kind + number % (8 + 8 * kind) for number in numbers[1:3])
    left, top = numbers[3] % (SIDE - width), numbers[4] % (SIDE - height)
    for row in range(top, top + height):
        start = (row * SIDE + left) * 3
        pixels[start : start + width * 3] = numbers[5:8] * width
    box = (left + width / 2, top + height / 2, width, height)
    return " ".join([str(kind), *(f"{value / SIDE:.7f}" for value in box)]) + "\n"


def _png(pixels: bytes) -> bytes:
    """Write RGB pixels as a PNG. Source: https://www.w3.org/TR/png-3/."""
    row = SIDE * 3
    rows = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    header = struct.pack(">2I5B", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
