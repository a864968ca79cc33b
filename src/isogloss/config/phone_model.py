"""Options of the phone recogniser: GMM-HMM training, neural acoustic model, search."""

from __future__ import annotations

from pydantic import Field

from isogloss.config.stage import StageConfig


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
