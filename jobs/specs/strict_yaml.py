"""PyYAML's safe loader made strict, and able to say on which line a field stands.

Only `true` and `false` are booleans, only decimal numbers are numbers (`1e-4` too; `0777`, `1:30`, `61e9540` and
dates stay strings). Duplicate keys, aliases, deep nesting and large documents are errors.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from jobs.specs.errors import Problem, SpecError
from jobs.specs.writing import hint_for

LARGEST = 1 << 20  # bytes of one file
DEEPEST = 24  # levels of nesting

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.?[0-9]*([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(kw_only=True)
class Document:
    """One YAML document as plain data, with the line of every field."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """Return the line of a field, or of the nearest part of it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases, tags and depth before any can hurt."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed; write the value out", problem_mark=mark
            )
        if tag := getattr(self.peek_event(), "tag", None):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"tags such as {tag} are not allowed", problem_mark=mark)
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def scalar(text: str) -> Any:
    """Return the value of a plain (unquoted) scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and any(c.isdigit() for c in text) and (not text[0:2].isdigit() or text[0] != "0"):
        number = _to_float(text)
        return number if number is not None and math.isfinite(number) else text
    return text


def _to_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read(text: str, file: str) -> list[Document]:
    """Return every document of a file. Raises SpecError with file and line."""
    if len(text.encode()) > LARGEST:
        raise SpecError([Problem(path="", message=f"larger than {LARGEST >> 20} MiB", file=file)])
    documents = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node: Any = loader.get_node()
            document = Document(value=None)
            document.value = _build(node, (), document, file)
            documents.append(document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        message = " ".join(filter(None, [error.problem, f"({error.context})" if error.context else None]))
        raise SpecError(
            [Problem(path="", message=f"not YAML: {message}{_hint(text, line)}", file=file, line=line)]
        ) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise SpecError([Problem(path="", message=f"not YAML: {error.reason}", file=file, line=line)]) from None
    return [document for document in documents if document.value is not None]


def _hint(text: str, line: int | None) -> str:
    """Return what is wrong with the line at which reading stopped, or else with one before it."""
    lines = text.splitlines()[: line or 0]
    return next((hint for each in reversed(lines) if (hint := hint_for(each))), "")


def _build(node: Any, path: Path, document: Document, file: str) -> Any:
    document.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, file)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), document, file) for i, item in enumerate(node.value)]
    return scalar(node.value) if node.style is None else node.value


def _mapping(node: yaml.MappingNode, path: Path, document: Document, file: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        if not isinstance(key, str):
            raise _error(key_node, path, file, "a key is a plain word")
        if key in result:
            first = document.lines[(*path, key)]
            raise _error(key_node, (*path, key), file, f"given twice; first on line {first}")
        result[key] = _build(value_node, (*path, key), document, file)
        document.lines[(*path, key)] = key_node.start_mark.line + 1
    return result


def _error(node: yaml.Node, path: Path, file: str, message: str) -> SpecError:
    dotted = ".".join(map(str, path))
    return SpecError([Problem(path=dotted, message=message, file=file, line=node.start_mark.line + 1)])
