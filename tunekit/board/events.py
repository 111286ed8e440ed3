"""TensorBoard's event files: begun, written record by record, and read again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from struct import error as StructError
from struct import unpack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = ["add", "last_step", "scalars", "steps", "tell", "writer"]


def tell(writer: RecordWriter, tag: str, **data: Any) -> None:
    """Write one message of the HPARAMS plugin: metadata around an empty tensor."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    summary = Summary()
    summary.value.add(
        tag=tag,
        metadata=metadata.create_summary_metadata(HParamsPluginData(**data)),
        tensor=metadata.NULL_TENSOR,
    )
    add(writer, summary)


def writer(path: Path) -> RecordWriter:
    """An event file to write to, with its header; one that is there goes on."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    new = not path.exists()
    made = RecordWriter(path.open("ab"))
    if new:
        header = Event(wall_time=time.time(), file_version="brain.Event:2")
        made.write(header.SerializeToString())
    return made


def add(writer: RecordWriter, summary: Summary, step: int = 0) -> None:
    """Write one record; it can be read at once."""
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(wall_time=time.time(), step=step, summary=summary)
    writer.write(event.SerializeToString())
    writer.flush()


def scalars(
    values: Mapping[str, float],
    words: Mapping[str, tuple[str, str]],
    described: set[str],
) -> Summary:
    """One record with all the values; the first of a tag carries what it means.

    Args:
        values: By tag.
        words: A title and a sentence for each tag.
        described: Tags that the file explains already; it is added to.
    """
    from tensorboard.compat.proto.summary_pb2 import (
        DATA_CLASS_SCALAR,
        Summary,
        SummaryMetadata,
    )
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT

    summary = Summary()
    for tag, value in values.items():
        entry = summary.value.add(
            tag=tag, tensor=TensorProto(dtype=DT_FLOAT, float_val=[value])
        )
        entry.tensor.tensor_shape.SetInParent()
        if tag not in described:
            described.add(tag)
            display_name, description = words[tag]
            entry.metadata.CopyFrom(
                SummaryMetadata(
                    plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"),
                    display_name=display_name,
                    summary_description=description,
                    data_class=DATA_CLASS_SCALAR,
                )
            )
    return summary


def last_step(path: Path) -> int:
    """The highest step in a file; -1 if it is damaged."""
    found = steps(path)
    return -1 if -1 in found else max(found, default=0)


def steps(path: Path) -> list[int]:
    """The step of each record of a file; -1 for an end that is damaged."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    content, place, found = path.read_bytes(), 0, [0]
    try:
        while place < len(content):
            # A record: its length, four bytes, itself, four bytes.
            (length,) = unpack("<Q", content[place : place + 8])
            record = content[place + 12 : place + 12 + length]
            place += 16 + length
            found.append(Event.FromString(record).step)
    except (StructError, DecodeError):
        return [*found, -1]
    return found if place == len(content) else [*found, -1]
