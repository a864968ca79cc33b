"""margins.json of a training: what the phoneme-aware margins were."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from isogloss.report.results import Part, none_as_empty


class MarginBatch(Part):
    step: int
    beta_p: list[float]  # one per training sample of the mini-batch


class Histogram(Part):
    edges: list[float]
    counts: list[int]

    @model_validator(mode="after")
    def _edges_enclose_counts(self) -> Histogram:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.edges)} edges for {len(self.counts)} counts; expected one edge more")
        return self


class Margins(Part):
    """β·p of a few mini-batches and of the whole training: Figure 2 of the paper."""

    system: str = ""
    beta: float | None = None
    definition: Annotated[dict[str, Any], BeforeValidator(none_as_empty)] = Field(default={})
    batches: list[MarginBatch] = Field(default=[])
    histogram: Histogram | None = None
    mean: float | None = None
    max: float | None = None
    languages: list[str] = Field(default=[])  # the names of what log.jsonl counts by language
