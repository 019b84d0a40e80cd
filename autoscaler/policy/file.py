"""Policy files: policies, their defaults and metrics, and the JSON Schema that describes a file."""

from __future__ import annotations

from copy import copy
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic.json_schema import GenerateJsonSchema

from autoscaler.policy.metric import Metric
from autoscaler.policy.policy import Policy
from autoscaler.strategies.base import Frozen

if TYPE_CHECKING:
    from pydantic_core import core_schema

_METRIC_NAME = r"^[a-zA-Z_][a-zA-Z0-9_.:-]*$"


def _partial(model: type[Frozen], name: str, without: frozenset[str] = frozenset(), **config: Any) -> type[Frozen]:
    """Return *model* with every key optional, also in its parts. The rules between several keys are not checked."""
    fields: dict[str, Any] = {}
    for key, info in model.model_fields.items():
        field, part = copy(info), _part(info.annotation)
        field.default, field.default_factory = None, None
        if key not in without:
            fields[key] = (info.annotation if part is None else _partial(part, f"Default{part.__name__}"), field)
    return create_model(
        name, __base__=Frozen, __doc__=model.__doc__, __module__=__name__, __cls_kwargs__=config, **fields
    )


def _part(annotation: Any) -> type[Frozen] | None:
    """Return the model in ``Replicas`` or ``Fallback | None``; None for lists and other values replaced as a whole."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Frozen)), None)


OWN_KEYS = frozenset({"name", "services", "match_labels"})
"""The keys of a policy that no default can give."""
if TYPE_CHECKING:
    Defaults = Frozen
else:
    Defaults = _partial(Policy, "Defaults", OWN_KEYS, defer_build=True)


def _whole(version: object) -> object:
    """Return *version*; `true` and `1.0` are refused, although they equal 1."""
    if type(version) is not int:
        raise ValueError(f"{version!r:.40} is not a version of this format (write version: 1)")
    return version


class PolicyFile(Frozen):
    """One policy file."""

    model_config = ConfigDict(defer_build=True)

    version: Annotated[Literal[1], BeforeValidator(_whole)]
    """The version of this format: 1."""
    defaults: Defaults = Field(default_factory=Defaults)
    """Values for keys that a policy leaves out: all keys but `name`, `services` and `match_labels`."""
    metrics: dict[Annotated[str, Field(pattern=_METRIC_NAME, max_length=63)], Metric] = Field(default_factory=dict)
    """More metrics than the built-in `cpu` and `memory`, by name. A definition of one of these two replaces it."""
    policies: Annotated[tuple[Policy, ...], Field(min_length=1)] = ()
    """The policies."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set & {"policies", "defaults", "metrics"}:
            raise ValueError("the file says nothing (add policies, metrics or defaults)")
        return self


class _FileSchema(GenerateJsonSchema):
    """Shows each default as a file would write it, and none for a key that can be left out."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        described = super().default_schema(schema)
        written = schema["schema"].get("serialization", {}).get("function")
        if described.get("default") in (None, []):
            described.pop("default", None)
        elif written is not None:
            described["default"] = written(described["default"])
        return described


def policy_schema() -> dict[str, Any]:
    """Return the JSON Schema of policy files, with the docstrings of these models as descriptions."""
    schema = PolicyFile.model_json_schema(schema_generator=_FileSchema)
    parts = schema["$defs"]
    for part in ("Policy", "Replicas", "Fallback"):
        # `defaults`, perhaps of another file, may give the keys that a policy leaves out.
        parts[part]["required"] = [key for key in parts[part].get("required", ()) if key == "name"]
    for part in parts.values():
        if "strategy" in part.get("properties", {}):  # the docstring of a strategy describes it
            part["properties"]["strategy"].setdefault("description", part.get("description", ""))
    schema["properties"]["metrics"]["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
