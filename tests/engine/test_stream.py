from __future__ import annotations

import pytest

from snapenv.engine.stream import Layers, StreamError, drain, parse_messages
from tests.fakes import FakeTask

LINES = (
    b'{"status":"Downloading","id":"a"}',
    b"",
    b'{"errorDetail":{"message":"unexpected EOF"},"error":"unexpected EOF"}',
    b'{"status":"Downloading","id":"b"}',
)


def test_an_error_within_a_stream_is_a_failure_once_the_stream_is_read_to_its_end() -> None:
    messages = drain(parse_messages(LINES))

    heard = [next(messages)["id"], next(messages)["id"]]

    assert heard == ["a", "b"]
    with pytest.raises(StreamError, match="unexpected EOF"):
        next(messages)


def test_a_stream_without_an_error_is_given_whole() -> None:
    assert list(drain(parse_messages(LINES[:1]))) == [{"status": "Downloading", "id": "a"}]


def test_the_bytes_of_all_layers_are_counted_together() -> None:
    task = FakeTask()
    layers = Layers(task)

    for layer, status, done in (
        ("a", "Downloading", 10),
        ("b", "Downloading", 1),
        ("a", "Download complete", None),
        ("c", "Already exists", None),
    ):
        detail = {"current": done, "total": 100} if done else {}
        layers.update({"id": layer, "status": status, "progressDetail": detail})

    assert task.counts == [(10, 100), (11, 200), (101, 200)]


def test_more_bytes_than_were_announced_move_the_total() -> None:
    task = FakeTask()

    Layers(task).update(
        {"id": "a", "status": "Pushing", "progressDetail": {"current": 2560, "total": 5}}
    )

    assert task.counts == [(2560, 2560)]
