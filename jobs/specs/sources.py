"""What a data source is by its name alone, for whoever checks a spec; `jobs.datasets` has what the built-in ones hold."""

DATA_NAMES = ("fashion-mnist", "mnist", "cifar-10", "shapes", "ring")


def is_local(source: str) -> bool:
    """Return whether a data source is a path on this machine: it has a slash, or begins with . or ~."""
    return "://" not in source and ("/" in source or "\\" in source or source.startswith((".", "~")))
