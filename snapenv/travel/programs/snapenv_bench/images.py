"""The data to train on: JPEGs of 640 x 480 pixels, the same each time, listed as often as needed.

Images are (480, 640, 3) uint8, height, width, channel: soft noise with filled boxes, of about the
size on disk of a photograph. Labels are as ultralytics reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DRAWN = 64  # images; more are the same again
_HEIGHT, _WIDTH = 480, 640
_BOXES = 6  # an image
_QUALITY = 90
_COARSE = 8  # pixels a spot of noise


def make_data(folder: Path, *, train: int, val: int) -> Path:
    """Write images, and lists that name ``train`` and ``val`` of them; return the data.yaml."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    names = [_write(folder, number) for number in range(DRAWN)]
    for name, count in (("train", train), ("val", val)):
        lines = [f"{names[number % DRAWN]}\n" for number in range(count)]
        (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    data = folder / "data.yaml"
    text = f"path: {folder}\ntrain: train.txt\nval: val.txt\nnc: 2\nnames: [small, large]\n"
    data.write_text(text, encoding="utf-8")
    return data


def _write(folder: Path, number: int) -> str:
    import cv2
    import numpy as np

    random = np.random.default_rng(number)
    spots = random.integers(0, 256, (_HEIGHT // _COARSE, _WIDTH // _COARSE, 3), dtype=np.uint8)
    image = cv2.resize(spots, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    lines = []
    for _ in range(_BOXES):
        kind = int(random.integers(0, 2))
        width, height = (int(random.integers(20, 60)) * (1 + 2 * kind) for _ in range(2))
        left = int(random.integers(0, _WIDTH - width))
        top = int(random.integers(0, _HEIGHT - height))
        colour = [int(value) for value in random.integers(0, 256, 3)]
        cv2.rectangle(image, (left, top), (left + width, top + height), colour, -1)
        x, y = (left + width / 2) / _WIDTH, (top + height / 2) / _HEIGHT
        lines.append(f"{kind} {x:.6f} {y:.6f} {width / _WIDTH:.6f} {height / _HEIGHT:.6f}\n")
    path = folder / "images" / f"{number:03}.jpg"
    path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
    labels = folder / "labels" / f"{number:03}.txt"
    labels.write_text("".join(lines), encoding="utf-8")
    return str(path)
