"""What one field of a spec is: its text, what it may be, and the fields within it; from the JSON Schema alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.specs.errors import did_you_mean
from jobs.specs.schema import REFERENCE, json_schema
from jobs.specs.spec import KINDS


@dataclass(frozen=True, kw_only=True)
class Explained:
    path: str
    text: str
    type: str
    default: Any = None
    fields: Mapping[str, str] = field(default_factory=dict)  # name -> one line


def explain(path: str, kind: str | None = None) -> list[Explained]:
    """Return what a dotted path (`train.checkpoint.every`) is in each kind of job that has it.

    A family's parameters are found below its name: `model.params.dcgan.penalties`. Raises LookupError with what is near.
    """
    steps = [step for step in path.split(".") if step]
    found, failures = [], []
    for name in [kind] if kind else KINDS:
        try:
            found.append(_explained(path, _at(_of_kind(name), steps)))
        except LookupError as error:
            failures.append(error)
    if not found:
        raise max(failures, key=lambda error: len(str(error.args[1])))
    return list({(each.text, each.type, *each.fields): each for each in found}.values())


def _of_kind(kind: str) -> dict[str, Any]:
    if kind not in KINDS:
        raise LookupError(f"unknown kind {kind!r}{did_you_mean(kind, KINDS)}", "")
    return _resolved({"$ref": f"#/definitions/{KINDS[kind].__name__}"})


def _at(schema: dict[str, Any], steps: list[str]) -> dict[str, Any]:
    done: list[str] = []
    for step in steps:
        known = _fields(schema)
        if done == ["model", "params"]:
            known = {name.removeprefix("family_"): each for name, each in json_schema()["definitions"].items()
                     if name.startswith("family_")}  # fmt: skip
        if step not in known:
            where = ".".join(done) or "a job"
            raise LookupError(f"{where} has no field {step!r}{did_you_mean(step, known)}", ".".join(done))
        schema, done = _resolved(known[step]), [*done, step]
    return schema


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without references, its own words before those of what it refers to."""
    if "$ref" in schema:
        target: Any = json_schema()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return _resolved({**target, **{key: value for key, value in schema.items() if key != "$ref"}})
    return schema


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a schema allows, one for each possibility; `${params.NAME}`, which goes everywhere, left out."""
    inner = [_resolved(each) for each in schema.get("anyOf", schema.get("oneOf", [])) if each != REFERENCE]
    return [choice for each in inner for choice in _choices(each)] if inner else [schema]


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a schema has, whichever of its possibilities has them."""
    found: dict[str, Any] = {}
    for choice in _choices(schema):
        found |= choice.get("properties", {})
        if isinstance(items := choice.get("items"), dict):
            found |= _fields(_resolved(items))
    return found


def _explained(path: str, schema: dict[str, Any]) -> Explained:
    fields = {name: _line(_resolved(each)) for name, each in _fields(schema).items()}
    return Explained(path=path, text=_text(schema), type=_type(schema), default=schema.get("default"), fields=fields)


def _line(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    shown = f" [{default}]" if isinstance(default, str | int | float) and not isinstance(default, bool) else ""
    return f"{_type(schema)}{shown}  {_text(schema)}".rstrip()


def _text(schema: dict[str, Any]) -> str:
    return " ".join(str(schema.get("description", "")).split())


def _type(schema: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_one(choice) for choice in _choices(schema)))


def _one(schema: dict[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")])))
    kind = schema.get("type", "anything")
    if kind in ("number", "integer") and "maximum" in schema and "minimum" in schema:
        return f"{kind} from {schema['minimum']:,g} to {schema['maximum']:,g}"
    return {"object": "mapping", "array": "list", "string": "text", "boolean": "true or false"}.get(
        str(kind), str(kind)
    )
