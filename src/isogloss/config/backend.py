"""Options of `isogloss backend`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from isogloss.config.stage import StageConfig


class BackendConfig(StageConfig):
    """Back ends fitted on the enrolment embeddings."""

    names: tuple[str, ...] = Field(
        ("olr2020", "centre+length+gaussian", "head"),
        description="cosine, plda, gaussian, logistic too, alone or after transforms: lda+centre+length+plda",
    )
    lda_dim: int | Literal["auto"] = Field(
        "auto", description="auto: languages − 1; the OLR recipe's literal 100 also works"
    )
    fold_models: int = Field(
        3,
        ge=0,
        description="networks that each leave a part of the training utterances out and embed it for enrolment, where the corpus "
        "has no enrolment set of its own; 0: enrol on what the network has seen alone, in a fraction of the time",
    )
    reject: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="share of whole validation utterances that the packed model may call unknown; null: it never says so",
    )
