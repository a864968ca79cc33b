"""One frozen model per stage: every option, its unit, its default. An unknown key is an error that names the nearest."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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


class PrepareConfig(StageConfig):
    """What counts as a usable recording, and how the data are split."""

    min_duration_seconds: float = Field(0.3, gt=0, description="shorter clips are left out (seconds)")
    min_recordings_per_language: int = Field(3, ge=2, description="fewer recordings of a language end in an error")
    num_folds: int = Field(5, ge=2, description="cross-validation folds, disjoint by speaker or recording")
    valid_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="share of the training recordings held out for validation"
    )
    seed: int = Field(1024, description="seed of the fold and validation draw")


class FrontEndConfig(StageConfig):
    """Audio to frames; travels inside the model file, so that training and runtime cannot differ. SYSTEM: paper §4.3."""

    sample_rate: int = Field(16000, description="Hz; anything else is resampled to it")
    num_ceps: int = Field(20, ge=1, description="MFCC coefficients, C0 (log energy) included")
    num_mel_bins: int = Field(23, ge=3)
    low_freq: float = Field(40.0, description="Hz")
    high_freq: float = Field(-200.0, description="Hz; negative counts down from the Nyquist frequency")
    pitch: bool = Field(True, description="append POV feature, normalised log pitch and delta log pitch")
    cmn_window: int = Field(300, ge=1, description="frames of the centred sliding mean normalisation")
    vad_energy_threshold: float = Field(5.0, description="log energy, 16-bit sample scale")
    vad_energy_mean_scale: float = Field(0.5)
    vad_frames_context: int = Field(0, ge=0)
    vad_proportion_threshold: float = Field(0.6, gt=0, lt=1)

    @property
    def dim(self) -> int:
        """D, columns of a frame."""
        return self.num_ceps + (3 if self.pitch else 0)


Codec = Literal[
    "opus-6k", "vorbis-26k", "vorbis-18k-narrow", "mp3-23k", "mp3-14k-narrow", "adpcm-narrow", "ulaw", "gsm"
]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]


class AugmentConfig(StageConfig):
    """Ranges that augmented copies of a waveform are drawn from, and how often each change is made to one.

    The telephone codecs, ulaw and gsm, are not among the default codecs: the cross-channel test condition is made of them.
    """

    speed: Range = Field((0.8, 1.25), description="1: no change; drawn evenly on a logarithmic scale")
    room_probability: Probability = 0.5
    rt60_seconds: Range = (0.1, 0.6)
    direct_to_reverberant_db: Range = (-3.0, 12.0)
    noise_probability: Probability = 0.7
    noise_exponent: Range = Field((0.0, 2.0), description="0 white, 1 pink, 2 brown noise")
    snr_db: Range = (0.0, 30.0)
    babble_probability: Probability = 0.2
    babble_voices: tuple[int, int] = (1, 6)
    babble_snr_db: Range = (5.0, 25.0)
    recording_probability: Probability = Field(0.5, description="where there are recordings of noise")
    band_probability: Probability = 0.5
    low_hz: Range = (20.0, 300.0)
    high_hz: Range = (3000.0, 8000.0)
    tilt_db_per_octave: Range = (-4.0, 4.0)
    codec_probability: Probability = 0.2
    codecs: tuple[Codec, ...] = (
        "opus-6k",
        "vorbis-26k",
        "vorbis-18k-narrow",
        "mp3-23k",
        "mp3-14k-narrow",
        "adpcm-narrow",
    )
    gain_db: Range = (-15.0, 5.0)

    @model_validator(mode="after")
    def _ranges(self) -> AugmentConfig:
        for name, value in self:
            if isinstance(value, tuple) and name != "codecs" and not value[0] <= value[1]:
                raise ValueError(f"{name} {value}: expected (lowest, highest)")
        if self.speed[0] <= 0 or self.rt60_seconds[0] <= 0:
            raise ValueError(f"speed {self.speed}, rt60_seconds {self.rt60_seconds}: expected numbers above 0")
        return self


class FeaturesConfig(StageConfig):
    """Which versions of every cut go into the frame store."""

    front_end: FrontEndConfig = FrontEndConfig()
    speeds: tuple[float, ...] = Field((0.9, 1.0, 1.1), min_length=1, description="training copies, sox speed factors")
    volume: tuple[float, float] | None = Field(
        (0.125, 2.0), description="range of the volume factor of training copies"
    )
    augmented: int = Field(0, ge=0, description="further copies of each training clip, drawn as `augment` says")
    augment: AugmentConfig = AugmentConfig(speed=(0.9, 1.1))
    noise_recordings: Path | None = Field(
        None, description="folder of audio to mix into augmented copies, such as MUSAN; null: synthetic noise alone"
    )
    channel: bool = Field(True, description="also a telephone version (8 kHz, G.711 µ-law, GSM 06.10) of test cuts")
    dtype: Literal["float16", "float32"] = "float16"
    seed: int = Field(1024, description="seed of the volume factors and the augmented copies")

    @model_validator(mode="after")
    def _what_augmented_copies_need(self) -> FeaturesConfig:
        if self.noise_recordings is not None and not self.augmented:
            raise ValueError("features.noise_recordings is for augmented copies; set features.augmented=1 or more")
        if self.augmented and self.front_end.sample_rate != 16000:
            raise ValueError(
                f"augmented copies are made at 16000 Hz, the front end works at {self.front_end.sample_rate} Hz; "
                "set features.augmented=0"
            )
        return self


class GmmStageConfig(StageConfig):
    """One stage of the phone recogniser."""

    gaussians: int = Field(ge=1, description="Gaussians in all, as far as the frames last (20 each)")
    iterations: int = Field(35, ge=2)
    grow_until: int = Field(25, ge=1, description="iteration up to which Gaussians are added")
    realign: tuple[int, ...] = Field((10, 20, 30), description="iterations that begin with a new alignment")


class TreeStageConfig(GmmStageConfig):
    """One that grows a decision tree first."""

    leaves: int = Field(ge=1, description="pdfs of the decision tree at most")
    tree_threshold: float = Field(300.0, gt=0, description="log-likelihood that a split of the tree must gain")


class TransformStageConfig(TreeStageConfig):
    """One that also estimates a transform of its features: MLLT (tri2b) or fMLLR (tri3b)."""

    transforms: tuple[int, ...] = Field((2, 4, 6, 12), description="iterations that re-estimate it")


class PhoneModelConfig(StageConfig):
    """Training of the GMM-HMM phone recogniser; the defaults are those of Kaldi's THCHS-30 recipe but for two.

    Variances are smoothed, and the trees of the LDA stages split for twice the gain (Kaldi: 0 and 300): both were chosen on
    a tenth of audio-cmn's training clips.
    """

    with_pitch: bool = Field(False, description="append the three pitch features to the 13 cepstra")
    normalise_variance: bool = Field(False, description="per speaker, besides the mean")
    silence_states: int = Field(5, ge=1)
    boost_silence: float = Field(1.25, gt=0, description="weight of silence when mono and tri1 are aligned")
    variance_smoothing: float = Field(
        60.0,
        ge=0,
        description="frames of its pdf's mean variance that each Gaussian's is averaged with; 0: Kaldi's way",
    )
    max_duration_ratio: float | None = Field(
        4.0, gt=1, description="utterances with a phone this many times its median duration are set aside; null: none"
    )
    lm_order: int = Field(3, ge=1, le=3, description="of the phone n-gram")
    mono: GmmStageConfig = GmmStageConfig(
        gaussians=1000,
        iterations=40,
        grow_until=30,
        realign=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 35, 38),
    )
    tri1: TreeStageConfig = TreeStageConfig(leaves=2000, gaussians=10000)
    tri2b: TransformStageConfig = TransformStageConfig(leaves=2500, gaussians=15000, tree_threshold=600.0)
    tri3b: TransformStageConfig = TransformStageConfig(leaves=2500, gaussians=15000, tree_threshold=600.0)
    tri4b: TreeStageConfig = TreeStageConfig(
        leaves=4200, gaussians=40000, tree_threshold=600.0, iterations=20, grow_until=10, realign=(10, 15)
    )

    @classmethod
    def small(cls) -> PhoneModelConfig:
        """For minutes rather than hours of speech: as many Gaussians as such data can fill; trees stay small by themselves."""
        full = cls()
        sizes = {"mono": 400, "tri1": 1500, "tri2b": 2000, "tri3b": 2000, "tri4b": 3000}
        return full.model_copy(
            update={name: getattr(full, name).model_copy(update={"gaussians": size}) for name, size in sizes.items()}
        )


class BootstrapConfig(StageConfig):
    """Training of the neural acoustic model from a GMM-HMM's alignment."""

    copies: int = Field(8, ge=1, description="of the transcribed speech, each joined and augmented anew")
    epochs: int = Field(48, ge=1, description="passes over the speech in all")
    self_training_rounds: int = Field(2, ge=0, description="over the untranscribed speech, if there is any")
    min_confidence: float = Field(
        0.5, ge=0, le=1, description="posterior of a frame's phone, below which its own label is not learnt from"
    )
    seed: int = 1024


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


class DecodeConfig(StageConfig):
    """Search of the phone recogniser."""

    acoustic_scale: float | None = Field(
        None,
        gt=0,
        description="of the search, 1 / language-model weight; null: 1/12 for mixtures, 1 for a neural model",
    )
    best_path_scale: float | None = Field(
        None, gt=0, description="scale at which the path is chosen among those kept; null: that of the search"
    )
    beam: float = Field(11.0, gt=0)
    max_active: int = Field(3000, ge=1, description="tokens kept per frame at most")
    adapt: bool = Field(True, description="fMLLR second pass per speaker, of a model trained with it")


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
    warp: float = Field(
        0.0, ge=0, le=0.5, description="vocal tract length: a chunk's frequencies times 1 − warp … 1 + warp"
    )
    jitter: float = Field(
        0.0, ge=0, description="Gaussian noise on every value, in standard deviations of its column in the batch"
    )


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


class BackendConfig(StageConfig):
    """Back ends fitted on the enrolment embeddings."""

    names: tuple[str, ...] = Field(
        ("olr2020", "head"),
        description="cosine, plda, gaussian, logistic too, alone or after transforms: lda+centre+length+plda",
    )
    lda_dim: int | Literal["auto"] = Field(
        "auto", description="auto: languages − 1; the OLR recipe's literal 100 also works"
    )
    reject: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="share of validation utterances that the packed model may call unknown; null: it never says so",
    )


class EvaluateConfig(StageConfig):
    """Metrics and their intervals."""

    conditions: tuple[Literal["full", "short", "channel", "open", "valid", "enrol"], ...] = Field(
        ("full", "short", "channel", "open"), description="tested besides those the corpus has recordings for"
    )
    short_frames: int = Field(100, ge=1, description="voiced frames kept by the short condition (1.0 s)")
    min_voiced_frames: int = Field(10, ge=1, description="an utterance with fewer gets no answer and counts as missed")
    num_resamples: int = Field(1000, ge=0, description="bootstrap resamples over recordings; 0: no intervals")
    seed: int = 1024


class RecipeConfig(StageConfig):
    """All stages together; written beside the results so that a run can be repeated."""

    prepare: PrepareConfig = PrepareConfig()
    features: FeaturesConfig = FeaturesConfig()
    phones: PhonesConfig = PhonesConfig()
    train: TrainConfig = TrainConfig()
    backend: BackendConfig = BackendConfig()
    evaluate: EvaluateConfig = EvaluateConfig()


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
