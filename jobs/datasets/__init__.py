"""A `data:` entry -> a packed local data set: find, fetch, check, pack, cache."""

from jobs.datasets.prepare import BadData, prepare

__all__ = ["BadData", "prepare"]
