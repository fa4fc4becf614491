"""How far outputs of a detector are from those of torch."""

from __future__ import annotations

from typing import Any

_BEST = 20  # anchors of an image, by their highest score
_OVERLAP = 0.99


def compare(expected: list[Any], actual: list[Any], *, side: int) -> dict[str, object]:
    """Return the largest differences over all images, by the names of snapenv's ``Export``.

    Outputs are of shape (1, 4 + classes, anchors): centre, width and height in pixels, and scores
    from 0 to 1. Boxes are matched anchor by anchor, since suppression hangs on a threshold.
    """
    import numpy as np

    for mine, theirs in zip(expected, actual):
        if mine.shape != theirs.shape:
            return {"error": f"its output is of shape {theirs.shape}, torch's of {mine.shape}"}
        if not np.isfinite(theirs).all():
            return {"error": "its output holds what is not a number"}
    pairs = [(mine[0], theirs[0]) for mine, theirs in zip(expected, actual)]
    apart = [abs(mine - theirs) for mine, theirs in pairs]
    return {
        "box_difference": max(float(each[:4].max()) for each in apart) / side,
        "score_difference": max(float(each[4:].max()) for each in apart),
        "boxes": _BEST * len(pairs),
        "matched": sum(_matched(mine, theirs) for mine, theirs in pairs),
    }


def _matched(expected: Any, actual: Any) -> int:  # noqa: ANN401
    best = expected[4:].max(axis=0).argsort()[-_BEST:]
    return int((_overlap(expected[:4, best], actual[:4, best]) > _OVERLAP).sum())


def _overlap(left: Any, right: Any) -> Any:  # noqa: ANN401
    """Return intersection over union of boxes, (4, count) each: centre x, y, width, height."""
    import numpy as np

    low = np.maximum(left[:2] - left[2:] / 2, right[:2] - right[2:] / 2)
    high = np.minimum(left[:2] + left[2:] / 2, right[:2] + right[2:] / 2)
    common = np.clip(high - low, 0, None).prod(axis=0)
    return common / (left[2:].prod(axis=0) + right[2:].prod(axis=0) - common)
