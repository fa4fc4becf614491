"""Read BuildKit's progress: base64 of a protobuf, in messages of id ``moby.buildkit.trace``.

Source: https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
(StatusResponse; the fields that are used here).
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from msgspec import Struct

from snapenv.engine.failures import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

    from snapenv.ports import Task

TRACE = "moby.buildkit.trace"
IMAGE_ID = "moby.image.id"

_PACKAGE = "moby.buildkit.v1"
_FIELDS = descriptor_pb2.FieldDescriptorProto
_Kind: TypeAlias = "descriptor_pb2.FieldDescriptorProto.Type.ValueType"
_MESSAGES: Mapping[
    str, tuple[tuple[str, int, str | _Kind], ...]
] = {  # message to (field, number, type); a type that is a text is a repeated message
    "Vertex": (
        ("digest", 1, _FIELDS.TYPE_STRING),
        ("name", 3, _FIELDS.TYPE_STRING),
        ("cached", 4, _FIELDS.TYPE_BOOL),
        ("started", 5, _FIELDS.TYPE_MESSAGE),
        ("completed", 6, _FIELDS.TYPE_MESSAGE),
        ("error", 7, _FIELDS.TYPE_STRING),
    ),
    "VertexStatus": (
        ("ID", 1, _FIELDS.TYPE_STRING),
        ("vertex", 2, _FIELDS.TYPE_STRING),
        ("current", 4, _FIELDS.TYPE_INT64),
        ("total", 5, _FIELDS.TYPE_INT64),
    ),
    "VertexLog": (("vertex", 1, _FIELDS.TYPE_STRING), ("msg", 4, _FIELDS.TYPE_BYTES)),
    "StatusResponse": (
        ("vertexes", 1, "Vertex"),
        ("statuses", 2, "VertexStatus"),
        ("logs", 3, "VertexLog"),
    ),
}
_KEPT_BYTES = 64 * 1024  # of each step's log
_NOTE_LENGTH = 60


class Vertex(Struct, frozen=True, kw_only=True):
    """One step of a build, as it is now."""

    digest: str
    name: str  # "[3/5] RUN pip install …"
    cached: bool
    started: bool
    completed: bool
    error: str | None


class Status(Struct, frozen=True, kw_only=True):
    """How far one part of a step is, in bytes; ``total`` is 0 where it is not known."""

    id: str
    vertex: str
    current: int
    total: int


class Log(Struct, frozen=True, kw_only=True):
    """A piece of what a step printed; pieces may end within a line."""

    vertex: str
    text: bytes


class Trace(Struct, frozen=True, kw_only=True):
    """One message of progress: what changed since the last."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[Status, ...] = ()
    logs: tuple[Log, ...] = ()


def parse_trace(encoded: str) -> Trace:
    """Decode the ``aux`` of one message.

    Raises:
        ValueError: It is no base64, or no such protobuf.
    """
    response: Any = _response_class()()
    try:
        response.ParseFromString(base64.b64decode(encoded, validate=True))
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise ValueError(f"no progress of BuildKit: {error}") from error
    return Trace(
        vertexes=tuple(_vertex(vertex) for vertex in response.vertexes),
        statuses=tuple(
            Status(id=status.ID, vertex=status.vertex, current=status.current, total=status.total)
            for status in response.statuses
        ),
        logs=tuple(Log(vertex=log.vertex, text=log.msg) for log in response.logs),
    )


def _vertex(vertex: Any) -> Vertex:  # noqa: ANN401 - a class made at run time
    return Vertex(
        digest=vertex.digest,
        name=vertex.name,
        cached=vertex.cached,
        started=vertex.HasField("started"),
        completed=vertex.HasField("completed"),
        error=vertex.error or None,
    )


@functools.cache
def _response_class() -> type[Message]:
    """Make the class of StatusResponse."""
    file = descriptor_pb2.FileDescriptorProto(
        name="control.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            message.field.append(_field(field, number, kind))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.StatusResponse"))


def _field(name: str, number: int, kind: str | _Kind) -> descriptor_pb2.FieldDescriptorProto:
    field = _FIELDS(name=name, number=number, label=_FIELDS.LABEL_OPTIONAL)
    if isinstance(kind, str):
        field.label = _FIELDS.LABEL_REPEATED
        field.type, field.type_name = _FIELDS.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = kind
        if kind == _FIELDS.TYPE_MESSAGE:
            field.type_name = ".google.protobuf.Timestamp"
    return field


class Steps:
    """The steps of one build as its progress tells of them."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._steps: dict[str, Vertex] = {}
        self._logs: dict[str, bytes] = {}
        self._bytes: dict[tuple[str, str], tuple[int, int]] = {}  # to (done, total)

    def update(self, trace: Trace) -> None:
        """Take in one message, and tell the task."""
        for vertex in trace.vertexes:
            self._steps[vertex.digest] = vertex
            if vertex.started and not vertex.completed:
                self._task.note(_short(vertex.name))
        for log in trace.logs:
            kept = self._logs.get(log.vertex, b"") + log.text
            self._logs[log.vertex] = kept[-_KEPT_BYTES:]
        if trace.logs:
            self._note_line(trace.logs[-1].vertex)
        self._count(trace.statuses)

    @property
    def failed(self) -> Vertex | None:
        """The step that failed; those that were cancelled because of it come after."""
        failed = [step for step in self._steps.values() if step.error]
        return next((step for step in failed if "context canceled" not in str(step.error)), None)

    def lines(self, vertex: Vertex, *, last: int) -> tuple[str, ...]:
        """Return the last lines that a step printed."""
        text = self._logs.get(vertex.digest, b"").decode(errors="replace")
        return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-last:]

    def _note_line(self, digest: str) -> None:
        step = self._steps.get(digest)
        lines = self.lines(step, last=1) if step else ()
        if step and lines:
            self._task.note(f"{_short(step.name)}: {one_line(lines[0], length=_NOTE_LENGTH)}")

    def _count(self, statuses: tuple[Status, ...]) -> None:
        known = [status for status in statuses if status.total]
        self._bytes |= {
            (status.vertex, status.id): (status.current, status.total) for status in known
        }
        if known:
            done, total = (sum(column) for column in zip(*self._bytes.values(), strict=True))
            self._task.count(done, total)


def _short(name: str) -> str:
    return one_line(name, length=_NOTE_LENGTH)
