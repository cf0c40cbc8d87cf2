"""Servers that `login` has made known: contexts.json in the home, which only its owner can read."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.cli.errors import CliError
from orchestrator.cli.home import home


@dataclass(kw_only=True)
class Contexts:
    current: str | None = None
    known: dict[str, dict[str, str]] = field(default_factory=dict)  # by name: url, token

    def named(self, name: str) -> dict[str, str]:
        """Return url and token of a context. CliError names the choices."""
        if name not in self.known:
            choices = ", ".join(sorted(self.known)) or "none yet; `ganworks login URL` makes one"
            raise CliError(f"there is no context {name!r}; there are: {choices}")
        return self.known[name]

    def chosen(self, name: str | None) -> dict[str, str]:
        """Return the context that is asked for, or the current one; empty where there is none."""
        return self.named(name) if name else self.known.get(self.current or "", {})


def path() -> Path:
    return home() / "contexts.json"


def read() -> Contexts:
    """Return what is kept; nothing is, before the first login. CliError when the file is no longer ours."""
    try:
        kept: Any = json.loads(path().read_text())
        return Contexts(current=kept["current"], known={name: dict(each) for name, each in kept["contexts"].items()})
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CliError(f"{path()} cannot be read ({error}); remove it and run `ganworks login` again") from None


def write(contexts: Contexts) -> None:
    """Keep them, whole or not at all; the file is the owner's alone from its first byte."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path().with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"current": contexts.current, "contexts": contexts.known}, file, indent=2)
    draft.replace(path())
