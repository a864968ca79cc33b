"""Options of `isogloss train`: margins, changes of a batch, network and optimiser."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from isogloss.config.stage import StageConfig


class MarginConfig(StageConfig):
    """The definition of p in P_i = m + β·p_i (eq. 12); m and β themselves belong to the system."""

    statistic: Literal["mean_max_posterior", "sum_max_posterior", "mean_max_logit", "max_logit"] = "mean_max_posterior"
    normalise: Literal["none", "batch_softmax", "batch_sum", "divide_by_frames", "running_mean"] = "batch_sum"
    target_mean: float | None = Field(
        0.002, description="rescale p to this batch mean, so that β·p does not depend on N"
    )
    detach: bool = True
    warmup_steps: int = Field(0, ge=0, description="steps over which β rises from 0")
    max_margin: float | None = Field(None, description="cap of P_i")
    ramp: Literal["linear", "cosine"] = Field("linear", description="how P_i, m and β·p alike, grows from 0")
    ramp_steps: int = Field(0, ge=0, description="steps that takes; 0: the whole margin from the start")
    ramp_start: int = Field(0, ge=0, description="steps without a margin before")
    boundary: Literal["clamp", "linear", "easy", "none"] = Field("linear", description="AAM rule for θ + P > π")


class SpecAugmentConfig(StageConfig):
    """What is changed in the chunks of a batch, anew in every step. All off by default."""

    time_masks: int = Field(0, ge=0, description="runs of frames set to 0, the mean, in each chunk")
    time_width: int = Field(20, ge=1, description="frames of each at most")
    column_masks: int = Field(0, ge=0, description="runs of columns (cepstra, pitch) set to 0 in each chunk")
    column_width: int = Field(3, ge=1, description="columns of each at most")


class TrainConfig(StageConfig):
    """Network, sampling, optimiser. Defaults follow the recipe the paper builds on, but for batch and width."""

    encoder: Literal["etdnn", "xvector", "ecapa", "dtdnn"] = Field(
        "etdnn", description="of frames; dtdnn: dense and narrow, for little data"
    )
    pooling: Literal["statistics", "attentive"] = Field("statistics", description="over time")
    width: int = Field(256, ge=8, description="channels of the frame layers; the paper's is 512")
    chunk_frames: int = Field(100, ge=10, description="voiced frames per chunk (10 ms each)")
    hop_frames: int = Field(90, ge=1)
    batch_size: int = Field(128, ge=2, description="chunks per step, over all processes; the paper's is 512")
    accumulate: int = Field(1, ge=1, description="parts that a step's chunks are taken in, one after another")
    schedule: Literal["restarts", "one_cycle", "plateau"] = Field("restarts", description="of the learning rate")
    cycles: tuple[int, ...] = Field(
        (3, 6), description="epochs of each cosine cycle with warm restart; any schedule has as many epochs in all"
    )
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="of the learning rate on a plateau")
    plateau_patience: int = Field(2, ge=1, description="epochs without a better validation that make a plateau")
    early_stop: int | None = Field(
        None, ge=1, description="epochs without a better validation, after which the best epoch's weights are taken"
    )
    monitor: Literal["valid_cavg", "valid_loss"] = Field(
        "valid_cavg", description="what early_stop and schedule=plateau go by"
    )
    average: Literal["none", "ema", "last"] = Field(
        "none", description="weights: ema, moving average over the steps; last, mean of the last epochs"
    )
    ema_decay: float = Field(0.999, gt=0, lt=1)
    average_epochs: int = Field(3, ge=1, description="of average=last")
    chunks_per_epoch: int | None = Field(None, ge=1, description="None: 1.5 × the mean number of chunks × languages")
    learning_rate: float = Field(1e-3, gt=0)
    min_learning_rate: float = Field(4e-8, ge=0)
    weight_decay: float = Field(0.3, ge=0)
    grad_clip: float = Field(10.0, gt=0)
    alpha: float = Field(0.3, ge=0, description="weight of the phoneme loss (eq. 9)")
    scale: float = Field(30.0, gt=0, description="s of the margin losses")
    num_subcentres: int = Field(1, ge=1, description="weights per language in the margin losses; the nearest counts")
    margin: MarginConfig = MarginConfig()
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()
    precision: Literal["bf16", "fp32"] = Field("bf16", description="autocast of the network; margins are always fp32")
    seed: int = 1024
    threads: int | None = Field(None, ge=1, description="CPU threads; None: all cores")
    log_every: int = Field(20, ge=1, description="steps")
    tensorboard: bool = Field(False, description="write the log for TensorBoard too")
    checkpoint_every: int = Field(200, ge=1, description="steps; also at the end of every epoch")
    keep_checkpoints: int = Field(2, ge=1)

    @field_validator("cycles")
    @classmethod
    def _epochs_in_every_cycle(cls, cycles: tuple[int, ...]) -> tuple[int, ...]:
        if not cycles or min(cycles) < 1:
            raise ValueError(
                f"{list(cycles)} trains nothing, or backwards; expected epochs of each cycle, ≥ 1, such as [3, 6]"
            )
        return cycles

    @model_validator(mode="after")
    def _one_way_to_choose_weights(self) -> TrainConfig:
        if self.average == "last" and self.early_stop is not None:
            raise ValueError(
                "train.average=last takes the mean of the last epochs, train.early_stop one epoch's weights; use one of them, "
                "or average=ema, which goes with early_stop"
            )
        return self

    @property
    def num_epochs(self) -> int:
        return sum(self.cycles)
