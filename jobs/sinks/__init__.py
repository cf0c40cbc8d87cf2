"""Samples -> the objects of a finished shard. One format, one file; a sink is found by its file's name."""

from importlib import import_module

from jobs.sinks.sink import Class, Record, Sink, Written

__all__ = ["Class", "Record", "Sink", "Written", "get"]


def get(output_format: str) -> Sink:
    """Return the sink of an `output.format`."""
    return import_module(f"jobs.sinks.{output_format}").SINK
