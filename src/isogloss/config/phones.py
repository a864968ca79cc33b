"""Options of `isogloss phones`: the frame labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from isogloss.config.stage import StageConfig


class PhonesConfig(StageConfig):
    """Where the frame labels (virtual phonemes) come from."""

    source: Literal["none", "gmm", "kaldi", "espeak", "teacher", "pocketsphinx"] = Field(
        "pocketsphinx",
        description="gmm: a trained phone model decodes every training copy; kaldi: labels made elsewhere; espeak: the corpus's "
        "own phone times; teacher: a frame classifier trained on one language of the corpus; pocketsphinx: its English phone "
        "loop; none: single-task systems only",
    )
    model: Path | None = Field(None, description="gmm: folder of one stage of a phone model, such as OUT/tri4b")
    adapt: bool = Field(
        False,
        description="gmm: labels of the fMLLR second pass; false: of the first, as the paper's (its .si lattices)",
    )
    acoustic_scale: float | None = Field(
        None, gt=0, description="gmm: of the search; null: 1/12 for mixtures, 1 for a neural model"
    )
    best_path_scale: float | None = Field(
        1.0, gt=0, description="gmm: at which the path is chosen among those kept; null: that of the search"
    )
    beam: float = Field(10.0, gt=0, description="gmm")
    max_active: int = Field(2000, ge=1, description="gmm: tokens kept per frame at most")
    labels: Path | None = Field(
        None,
        description="kaldi: .npz of pdf-ids, .ctm, archive of pdf-ids, folder of TextGrids, or ali.*.gz (or their folder) with "
        "final.mdl beside",
    )
    states_per_phone: int = Field(
        3, ge=1, description="each segment of phone times is cut in this many equal states; pdf = state"
    )
    teacher_language: str = Field("cmn", description="language the teacher is trained on")
    teacher_epochs: int = Field(6, ge=1)
    seed: int = 1024

    @model_validator(mode="after")
    def _what_the_source_needs(self) -> PhonesConfig:
        if self.source == "gmm" and self.model is None:
            raise ValueError(
                "phones.source=gmm needs phones.model=FOLDER, one stage of a phone model such as OUT/model/tri4b; make one "
                "with `isogloss phones train` or `isogloss recipe phones-cmn`"
            )
        if self.source == "kaldi" and self.labels is None:
            raise ValueError(
                "phones.source=kaldi needs phones.labels=PATH, labels made elsewhere: .npz or archive of pdf-ids, ali.*.gz with "
                "final.mdl beside, .ctm, folder of TextGrids; without any, make a phone model with `isogloss phones train` or "
                "`isogloss recipe phones-cmn` and give phones.source=gmm"
            )
        return self
