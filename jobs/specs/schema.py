"""The JSON Schema of a job, for editors and for `ganworks explain`: with each family's own parameters, and references."""

from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from jobs.specs.check import families
from jobs.specs.spec import KINDS

REFERENCE = {"type": "string", "pattern": r"\$\{(params\.[A-Za-z0-9_-]+|scheduled_time)\}"}
AT = "#/definitions/"


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of one document."""
    of_any_kind: Any = reduce(or_, KINDS.values())
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[of_any_kind, Field(discriminator="kind")])
    text = adapter.json_schema(by_alias=True, ref_template=AT + "{model}")
    definitions = text.pop("$defs", {})
    for definition in definitions.values():
        definition["properties"] = {
            name: _with_reference(name, field) for name, field in definition.get("properties", {}).items()
        }
    definitions["Need"] = {"anyOf": [definitions["Need"], {"type": "string", "description": "its name alone"}]}
    definitions |= {f"family_{name}": _rooted(about["schema"], name) for name, about in families().items()}
    definitions["TrainModel"]["allOf"] = [_parameters_of(name) for name in families()]
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "ganworks job", **text}
    return {**schema, "definitions": definitions}


def _with_reference(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """Return a field that may also be `${params.NAME}`, as any but the kind and the parameters themselves may."""
    if name in ("kind", "params", "version") or "$ref" in field or field.get("type") in ("object", "array"):
        return field
    told: dict[str, Any] = {key: field[key] for key in ("title", "description", "default") if key in field}
    return {**told, "anyOf": [field, REFERENCE]}


def _parameters_of(family: str) -> dict[str, Any]:
    """Return the rule that a model of this family has its parameters."""
    return {
        "if": {"properties": {"family": {"const": family}}, "required": ["family"]},
        "then": {"properties": {"params": {"$ref": f"{AT}family_{family}"}}},
    }


def _rooted(schema: Any, family: str) -> Any:
    """Return a family's schema as a part of the whole: what it refers to stands within it."""
    if isinstance(schema, dict):
        inner = {key: _rooted(value, family) for key, value in schema.items()}
        if isinstance(reference := inner.get("$ref"), str):
            inner["$ref"] = reference.replace("#/$defs/", f"{AT}family_{family}/$defs/")
        if isinstance(fields := inner.get("properties"), dict):
            inner["properties"] = {name: _with_reference(name, field) for name, field in fields.items()}
        return inner
    return [_rooted(each, family) for each in schema] if isinstance(schema, list) else schema
