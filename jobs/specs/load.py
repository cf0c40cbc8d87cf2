"""YAML text -> specs; errors as `file:line: field: why`."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from jobs.specs import check, plain, spec, strict_yaml, writing
from jobs.specs.errors import Problem, SpecError, did_you_mean
from jobs.specs.override import override
from jobs.specs.sources import is_local
from jobs.specs.spec import Job, Plain
from jobs.specs.strict_yaml import Document

_REFERENCE = re.compile(r"\$\{([a-z_]+(?:\.[A-Za-z0-9_-]+)?)\}")
EXAMPLES = Path(__file__).parents[1] / "examples"
STDIN = Path("/dev/stdin")


def find(name: str) -> Path:
    """Return a spec file, standard input (`-`), or one of the shipped examples by its bare name (`quickstart`)."""
    path = STDIN if name == "-" else Path(name)
    shipped = EXAMPLES / f"{name}.yaml"
    if path.exists() and not path.is_dir():  # a file, a pipe of the shell's `<(…)`, /dev/stdin
        return path
    if shipped.is_file():
        return shipped
    if path.is_dir():
        raise SpecError([Problem(path="", message="is a folder; a YAML file is expected", file=name)])
    examples = ", ".join(sorted(file.stem for file in EXAMPLES.glob("*.yaml")))
    raise SpecError(
        [Problem(path="", message=f"no such file, and no example of that name; examples: {examples}", file=name)]
    )


def load_file(
    path: Path,
    parameters: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    data_is_here: bool = False,
) -> list[Job]:
    """Return the jobs of a file, relative data paths made absolute from the file's folder. Raises SpecError.

    overrides: fields by path (`train.batch_size`) and what is to stand there. data_is_here: the jobs run on this
    machine, so that local data must be there.
    """
    text = read_text(path)
    folder = Path.cwd() if _is_piped(path) else path.resolve().parent
    return load_text(
        text, file=str(path), parameters=parameters, overrides=overrides, folder=folder, data_is_here=data_is_here
    )


def read_text(path: Path) -> str:
    """Return the text of a file or a pipe. Raises SpecError with the line at which it is none."""
    try:
        content = _piped(path) if _is_piped(path) else path.read_bytes()
    except OSError as error:
        raise SpecError([Problem(path="", message=f"cannot be read: {error.strerror}", file=str(path))]) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        line, message = writing.not_utf8(content)
        raise SpecError([Problem(path="", message=message, file=str(path), line=line)]) from None


def _is_piped(path: Path) -> bool:
    return path == STDIN or path.is_fifo()


@cache
def _piped(path: Path) -> bytes:
    """Return what came through a pipe, which can be read no second time."""
    return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()


def load_text(
    text: str,
    *,
    file: str = "<spec>",
    parameters: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    folder: Path | None = None,
    data_is_here: bool = False,
) -> list[Job]:
    """Return the jobs of a YAML text; every problem of every document in one SpecError."""
    documents = strict_yaml.read(text, file)
    if not documents:
        raise SpecError([Problem(path="", message="holds no job", file=file)])
    jobs: list[Job] = []
    problems = [replace(problem, file=file) for problem in override(documents, overrides or {})]
    for number, document in enumerate(documents):
        try:
            job = _load_document(document, parameters or {}, folder)
            if data_is_here and (missing := _missing_data(job)):
                raise SpecError(missing)
            jobs.append(job)
        except SpecError as error:
            problems += [_place(problem, document, file, number) for problem in error.problems]
    problems += _unused(parameters or {}, documents, file)
    problems += _doubled(documents, file)
    if problems:
        raise SpecError(problems)
    return jobs


def _load_document(document: Document, parameters: Mapping[str, str], folder: Path | None) -> Job:
    if not isinstance(document.value, dict):
        raise SpecError([Problem(path="", message="a job is a mapping of fields, such as `kind: train`")])
    if strange := list(writing.strange_keys(document.value)):
        raise SpecError(strange)
    if wrong := [*writing.unclosed(document.value), *writing.bare_durations(document.value)]:
        raise SpecError(wrong)
    value = substitute(document.value, parameters)
    job = parse(value)
    if problems := check.problems(job):
        raise SpecError(problems)
    return with_absolute_paths(job, folder) if folder else job


def parse(value: Plain) -> Job:
    """Return a job from plain data; pydantic's errors in our words, with did-you-mean."""
    try:
        plain.check(value)
    except ValueError as error:
        raise SpecError([Problem(path="", message=str(error))]) from None
    if "kind" not in value:
        raise SpecError([Problem(path="kind", message=f"is missing; choices: {', '.join(spec.KINDS)}")])
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in spec.KINDS:
        raise SpecError([Problem(path="kind", message=f"unknown {kind!r}{did_you_mean(str(kind), spec.KINDS)}")])
    try:
        return spec.parse(value)
    except ValidationError as error:
        raise SpecError(_explain(error, spec.KINDS[kind], value)) from None


def _explain(error: ValidationError, model: type[BaseModel], value: Plain) -> list[Problem]:
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        path = _real_path(detail["loc"], value, missing=detail["type"] == "missing")
        dotted = ".".join(map(str, path))
        found.setdefault(dotted, Problem(path=dotted, message=_message(dict(detail), path, model)))
    # A union complains once for each of its members: the deepest complaint is the one about what was meant.
    return [p for dotted, p in found.items() if not any(other.startswith(f"{dotted}.") for other in found)]


def _real_path(loc: tuple[str | int, ...], value: Any, missing: bool) -> tuple[str | int, ...]:
    """Return Pydantic's location without the tags it adds for unions."""
    path: list[str | int] = []
    for i, step in enumerate(loc):
        inside = (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            path.append(step)
            value = value[step]
        elif missing and i == len(loc) - 1:
            path.append(step)
    return tuple(path)


def _message(detail: Mapping[str, Any], path: tuple[str | int, ...], model: type[BaseModel]) -> str:
    kind, got = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return f"unknown field{did_you_mean(str(path[-1]), _fields(model, path[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return f"{_plain(detail['msg'])} (got {_show(got)})"
    if kind == "string_pattern_mismatch" and path[-1] in ("name", "from", "queue"):
        return f"a name is 1 to 50 of a-z, 0-9 and - (got {_show(got)})"
    if kind == "string_type" and isinstance(got, int | float):
        return f"a text is expected; put it in quotes: '{_show(got)}'"
    if kind in ("model_type", "dict_type"):
        return f"a mapping of fields is expected (got {'nothing' if got is None else _show(got)})"
    return f"{detail['msg'].removeprefix('Input ')} (got {_show(got)})"


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Return the field names of the model at a path, for did-you-mean."""
    for step in path:
        field = next((f for n, f in model.model_fields.items() if step in (n, f.alias)), None)
        if field is None:
            continue
        candidates = [t for t in (field.annotation, *_arguments(field.annotation)) if _is_model(t)]
        if not candidates:
            return []
        model = candidates[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _arguments(annotation: Any) -> list[Any]:
    inner = list(get_args(annotation))
    return inner + [deeper for argument in inner for deeper in _arguments(argument)]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def substitute(value: Plain, parameters: Mapping[str, str]) -> Plain:
    """Replace `${params.NAME}`; `parameters` (from -p) replace whole scalars of `params`.

    `${scheduled_time}` stays: it is known when the schedule fires.
    """
    known = value.get("params") or {}
    if not isinstance(known, dict):
        return value
    params = {**known, **{k: strict_yaml.scalar(v) for k, v in parameters.items() if k in known}}
    return {k: params if k == "params" else _replaced(v, params, k) for k, v in value.items()}


def _replaced(value: Any, params: Mapping[str, Any], path: str) -> Any:
    if isinstance(value, dict):
        return {k: _replaced(v, params, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_replaced(v, params, f"{path}.{i}") for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and whole[1] != "scheduled_time":
        return _lookup(whole[1], params, path)
    return _REFERENCE.sub(lambda m: m[0] if m[1] == "scheduled_time" else str(_lookup(m[1], params, path)), value)


def _lookup(reference: str, params: Mapping[str, Any], path: str) -> Any:
    name = reference.removeprefix("params.")
    if not reference.startswith("params.") or name not in params:
        hint = did_you_mean(name, params) if params else "; the document has no params"
        raise SpecError([Problem(path=path, message=f"unknown reference ${{{reference}}}{hint}")])
    return params[name]


def _unused(parameters: Mapping[str, str], documents: list[Document], file: str) -> list[Problem]:
    known = {
        name
        for document in documents
        if isinstance(document.value, dict) and isinstance(document.value.get("params"), dict)
        for name in document.value["params"]
    }
    return [
        Problem(
            path=f"params.{name}",
            message=f"-p {name}=… names no parameter of the file{did_you_mean(name, known)}",
            file=file,
        )
        for name in parameters
        if name not in known
    ]


def _doubled(documents: list[Document], file: str) -> list[Problem]:
    seen: dict[str, int] = {}
    problems = []
    for number, document in enumerate(documents):
        name = document.value.get("name") if isinstance(document.value, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            line = document.line(("name",))
            problems.append(
                Problem(
                    path="name",
                    message=f"{name!r} is already document {seen[name] + 1} of the file",
                    file=file,
                    line=line,
                    document=number,
                )
            )
        seen.setdefault(name, number)
    return problems


def located(problems: Sequence[Problem], path: Path) -> list[Problem]:
    """Return problems of a file's documents with its name, and the lines on which the fields stand."""
    documents = strict_yaml.read(read_text(path), str(path))
    return [_place(problem, documents[problem.document], str(path), problem.document) for problem in problems]


def _place(problem: Problem, document: Document, file: str, number: int) -> Problem:
    path = tuple(int(step) if step.isdigit() else step for step in problem.path.split(".")) if problem.path else ()
    return replace(problem, file=file, line=problem.line or document.line(path), document=number)


def with_absolute_paths(job: Job, folder: Path) -> Job:
    """Start relative data paths at the YAML file."""
    document = spec.dump(job)
    for data in local_data(document).values():
        data["source"] = str((folder / Path(data["source"]).expanduser()).resolve())
    return spec.parse(document)


def local_data(document: Plain, at: str = "") -> dict[str, Plain]:
    """Return every `{source: path}` of a document that names a path on this machine, by its place (`train.evaluate.reference`)."""
    found = {}
    for name, value in document.items():
        if isinstance(value, dict):
            if isinstance(value.get("source"), str) and is_local(value["source"]):
                found[at + name] = value
            found |= local_data(value, f"{at}{name}.")
    return found


def _missing_data(job: Job) -> list[Problem]:
    """Find missing data before workers start, look and fail half a minute later. What a schedule reads may come before
    it fires next."""
    document = spec.dump(job)
    return [
        Problem(path=f"{place}.source", message=f"{data['source']}: no such file or folder")
        for place, data in (local_data(document).items() if not document.get("schedule") else ())
        if not Path(data["source"]).exists()
    ]
