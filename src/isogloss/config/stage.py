"""What the config of every stage can do: be frozen, know its fingerprint, name the nearest of an unknown key."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from isogloss.types import IsoglossError


class StageConfig(BaseModel):
    """Frozen; knows its own fingerprint, so that a stage can tell finished work from stale work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(_unknown(str(key), cls))
        return values

    def fingerprint(self) -> str:
        """16 hex digits of the sha256 of the options as sorted JSON."""
        return fingerprint(self.model_dump(mode="json"))


ConfigT = TypeVar("ConfigT", bound=StageConfig)


def fingerprint(value: Any) -> str:
    """16 hex digits of the sha256 of a JSON-able value with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def override(config: ConfigT, assignments: list[str]) -> ConfigT:
    """`["train.width=128", "evaluate.seed=1"]` on top of a config; values are JSON, or plain text where that fails.

    Raises IsoglossError with one line for an unknown key (naming the nearest) or a value out of range.
    """
    values = config.model_dump(mode="json")
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise IsoglossError(f"--set {assignment!r}: expected KEY=VALUE, for example train.width=128")
        node, model = values, type(config)
        *parents, leaf = path.split(".")
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                raise IsoglossError(f"--set {assignment!r}: {_unknown(parent, model)}")
            node = node[parent]
            model = model.model_fields[parent].annotation  # type: ignore[assignment]
        if leaf not in node:
            raise IsoglossError(f"--set {assignment!r}: {_unknown(leaf, model)}")
        try:
            node[leaf] = json.loads(text)
        except json.JSONDecodeError:
            node[leaf] = text
    return parse(type(config), values)


def parse(model: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """A checked config from plain values; IsoglossError with one line if one does not fit."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise IsoglossError(f"{model.__name__}{'.' + where if where else ''}: {message}") from None


def _unknown(key: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key, list(model.model_fields), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(model.model_fields)}"
    return f"unknown key {key!r} in {model.__name__}; {hint}"
