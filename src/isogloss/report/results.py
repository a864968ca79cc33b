"""What metrics.json says of one system with one back end under one condition, checked."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def none_as_empty(value: Any) -> Any:
    return {} if value is None else value


def _value_alone(value: Any) -> Any:
    return {"value": value} if isinstance(value, int | float) else value


class Part(BaseModel):
    """A part of the file: read only, and what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


class Interval(Part):
    """A measured number and its 95 % interval. Cavg, EER and accuracy are fractions, never percentages."""

    value: float | None = Field(default=None, ge=0, le=1)
    low: float | None = None
    high: float | None = None
    by_seed: list[float] | None = None  # of several seeds, whose mean is the value


class Nats(Interval):
    """The same of a number without an upper bound."""

    value: float | None = Field(default=None, ge=0)


Measured = Annotated[Interval | None, BeforeValidator(_value_alone)]


class Confusion(Part):
    languages: list[str]
    counts: list[list[int]]  # [truth][decision]

    @model_validator(mode="after")
    def _is_square(self) -> Confusion:
        shape = [len(row) for row in self.counts]
        if shape != [len(self.languages)] * len(self.languages):
            raise ValueError(f"counts has rows of {shape} numbers for {len(self.languages)} languages")
        return self


class Det(Part):
    p_miss: list[float]
    p_fa: list[float]

    @model_validator(mode="after")
    def _is_paired(self) -> Det:
        if len(self.p_miss) != len(self.p_fa):
            raise ValueError(f"{len(self.p_miss)} values of p_miss for {len(self.p_fa)} of p_fa")
        return self


class Reliability(Part):
    """By bins of confidence, of equal width from 0 to 1: utterances, mean confidence, share that is right."""

    num: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]

    @model_validator(mode="after")
    def _is_of_equal_length(self) -> Reliability:
        if not len(self.num) == len(self.confidence) == len(self.accuracy):
            raise ValueError(
                f"bins: {len(self.num)} counts, {len(self.confidence)} confidences, {len(self.accuracy)} accuracies"
            )
        return self


class LanguageRecall(Part):
    recall: float | None = None
    num: int | None = None


class Duration(Part):
    """The utterances of some length, in seconds of voiced speech."""

    above_seconds: float
    up_to_seconds: float | None = None
    num: int
    accuracy: Interval = Interval()
    per_language: Annotated[dict[str, LanguageRecall], BeforeValidator(none_as_empty)] = {}


class Error(Part):
    """A clip that was named wrongly, and how sure of it the system was."""

    clip: str
    spoken: str
    called: str
    posterior: float
    log_odds: float
    voiced_seconds: float | None = None
    recording: str | None = None
    language: str | None = None  # spoken, where that is out of set
    path: str | None = None
    start: float = 0.0
    duration: float | None = None


class OperatingPoint(Part):
    """What a threshold chosen on the validation utterances does to the test. All but `thresholds` are shares."""

    at_most: float
    thresholds: list[float] = []  # nats; of every split and seed
    num_validation: int
    known_rejected: float
    known_right: float  # accepted and named rightly
    unknown_accepted: float


class Result(Part):
    """One system with one back end under one condition."""

    cavg_olr: Measured = None
    cavg_olr_floored: Measured = None
    cavg_min: Measured = None
    cavg_actual: Measured = None
    eer: Measured = None
    cllr: Annotated[Nats | None, BeforeValidator(_value_alone)] = None
    accuracy: Measured = None
    macro_f1: Measured = None
    ece: Measured = None
    ece_if_calibrated: Measured = None
    auroc_out_of_set: Measured = None
    fpr95_out_of_set: Measured = None
    oscr_out_of_set: Measured = None
    num_utterances: int | None = None
    num_trials: int | None = None
    num_out_of_set: int | None = None
    num_no_speech: int | None = None
    num_without_answer: int | None = None
    languages_enrolled: list[str] | None = None
    languages_tested: list[str] | None = None
    confusion: Confusion | None = None
    per_language: Annotated[dict[str, LanguageRecall], BeforeValidator(none_as_empty)] = {}
    det: Det | None = None
    reliability: Reliability | None = None
    durations: list[Duration] = []
    worst: list[Error] = []
    operating_point: OperatingPoint | None = None

    def metric(self, name: str) -> Interval | None:
        """The metric of that name, or None where it was not measured."""
        interval: Interval | None = getattr(self, name)
        return None if interval is None or interval.value is None else interval
