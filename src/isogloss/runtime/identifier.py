"""Identifier: audio in, language out. The one inference path of command line, server, bulk jobs and evaluation."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from isogloss.runtime.model_file import ModelFile, read_model_file
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    import onnxruntime

    from isogloss.frontend.audio import AudioSource

FRAME_SHIFT_SECONDS = 0.01
MAX_FRAMES = 10_000  # longer utterances are embedded in equal pieces, as in the recipe the paper builds on

PathT = TypeVar("PathT", bound=str | os.PathLike[str])


@dataclass(frozen=True)
class Answer:
    """Which language, and how sure.

    `no_speech` (no voiced frame), `too_short` (fewer than the model's min_speech_frames) and `unknown` (speech in none of
    the enrolled languages, by the model's threshold) name no language: `language` and `probability` are None.
    `probabilities` is the prior for the first two; for `unknown` what it would be if it were an enrolled language after all.
    """

    status: Literal["ok", "unknown", "no_speech", "too_short"]
    language: str | None
    probability: float | None
    probabilities: dict[str, float]  # most likely first; sums to 1; without the languages that were ruled out
    speech_seconds: float
    duration_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def load(path: str | os.PathLike[str], *, threads: int = 1) -> Identifier:
    """Open a model file. `threads` = 0 lets onnxruntime take every core. IsoglossError if the file is not sound."""
    return Identifier(read_model_file(path), threads=threads)


class Identifier:
    """`identifier("clip.wav").language`. Holds one network session; calls do not depend on one another."""

    def __init__(self, model: ModelFile, *, threads: int = 1) -> None:
        # Imported here, so that `import isogloss.runtime` stays light: these bring in numba and onnxruntime.
        from isogloss.backends import load_backend
        from isogloss.backends.calibration import Calibration
        from isogloss.backends.open_set import OpenSet
        from isogloss.frontend.frontend import FrontEnd

        self.manifest = model.manifest
        self.languages = list(model.manifest.languages)
        self.front_end = FrontEnd(model.manifest.front_end)
        self.backend = load_backend(model.backend_state)
        if list(self.backend.languages) != self.languages:
            raise IsoglossError(
                f"the manifest lists {', '.join(self.languages[:5])} … ({len(self.languages)}) but the back end "
                f"{', '.join(self.backend.languages[:5])} … ({len(self.backend.languages)}); "
                "pack the network and the back end of the same run"
            )
        state = model.calibration_state
        self.calibration = Calibration(self.languages) if state is None else Calibration.from_state(state)
        if self.calibration.languages != self.languages:
            raise IsoglossError(
                f"the calibration is for {', '.join(self.calibration.languages[:5])} … "
                f"({len(self.calibration.languages)}), the back end for {', '.join(self.languages[:5])} … "
                f"({len(self.languages)}); pack the calibration of this back end's scores"
            )
        point = model.manifest.open_set
        self.open_set = None if point is None else OpenSet(**point.model_dump())
        self._session = _open_network(model, threads)

    def __call__(
        self,
        audio: AudioSource | np.ndarray,
        sample_rate: int | None = None,
        *,
        allow: Sequence[str] | None = None,
        priors: Mapping[str, float] | None = None,
    ) -> Answer:
        """The language of a file (path, bytes, file object) or of an array at `sample_rate` Hz (shapes: `to_mono`).

        `allow` keeps only these languages; `priors` are probabilities, the languages not named share the rest of 1
        equally (default: all equal). Both act on the log-likelihoods, so the posterior is that of the question asked.
        Whether it is an enrolled language at all is asked before either.
        IsoglossError for audio that cannot be read and for a language the model does not have.
        """
        from isogloss.frontend.audio import read_audio, to_mono

        prior = log_prior(self.languages, allow, priors)
        rate = self.manifest.front_end.sample_rate
        if isinstance(audio, np.ndarray):
            if sample_rate is None:
                raise IsoglossError("an array without sample_rate; expected identifier(samples, sample_rate) in Hz")
            samples = to_mono(audio, sample_rate, rate)
        elif sample_rate is not None:
            raise IsoglossError(f"sample_rate={sample_rate} with a file, whose header states its own; leave it out")
        else:
            samples = read_audio(audio, rate)
        frames = self.front_end(samples, rate)
        seconds = {"speech_seconds": len(frames) * FRAME_SHIFT_SECONDS, "duration_seconds": len(samples) / rate}
        if len(frames) < self.manifest.min_speech_frames:
            probabilities = posterior(self.languages, np.zeros(len(self.languages)), prior)
            return Answer("too_short" if len(frames) else "no_speech", None, None, probabilities, **seconds)
        loglik = self.loglik(frames)
        probabilities = posterior(self.languages, loglik, prior)
        if self.open_set is not None and self.open_set.is_unknown(loglik[None])[0]:
            return Answer("unknown", None, None, probabilities, **seconds)
        language, probability = next(iter(probabilities.items()))
        return Answer("ok", language, probability, probabilities, **seconds)

    def identify_many(
        self,
        paths: Iterable[PathT],
        *,
        allow: Sequence[str] | None = None,
        priors: Mapping[str, float] | None = None,
    ) -> Iterator[tuple[PathT, Answer | IsoglossError]]:
        """One (path, answer) per file, in order, as they are done; a file that fails yields its error instead.

        `allow` and `priors` as in a single call; they are checked at once, before the first file.
        """
        log_prior(self.languages, allow, priors)
        return ((path, self._answer_or_error(path, allow, priors)) for path in paths)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """[V, D] voiced frames → [E] float32. More than 10,000 frames: equal pieces, averaged by length."""
        pieces = np.array_split(np.asarray(frames, np.float32), math.ceil(len(frames) / MAX_FRAMES))
        name = self._session.get_inputs()[0].name
        embeddings = [self._session.run(None, {name: piece[None]})[0][0] for piece in pieces]
        embedding = np.average(embeddings, axis=0, weights=[len(piece) for piece in pieces]).astype(np.float32)
        if not np.isfinite(embedding).all():
            raise IsoglossError(f"the network gives NaN for {len(frames)} frames of speech; was its training sound?")
        return embedding

    def loglik(self, frames: np.ndarray) -> np.ndarray:
        """[V, D] voiced frames → [C] float64, calibrated log-likelihoods, natural log, columns as `languages`."""
        scores = self.backend.loglik(self.embed(frames)[None])
        return self.calibration.apply(scores, np.array([len(frames)]))[0]

    def _answer_or_error(
        self, path: PathT, allow: Sequence[str] | None, priors: Mapping[str, float] | None
    ) -> Answer | IsoglossError:
        try:
            return self(path, allow=allow, priors=priors)
        except IsoglossError as error:
            return error
        except Exception as error:  # one strange file must not end a run over a million
            return IsoglossError(f"{path}: {type(error).__name__}: {error}; please report this file")


def log_prior(languages: Sequence[str], allow: Sequence[str] | None, priors: Mapping[str, float] | None) -> np.ndarray:
    """[C] float64, not normalised; −inf for a language ruled out. IsoglossError for a name not in `languages`."""
    if isinstance(allow, str):
        raise IsoglossError(f"allow={allow!r} is one text; expected a list of languages, for example [{allow!r}]")
    for option, names in (("allow", allow), ("priors", priors)):
        for name in names or ():
            if name not in languages:
                near = difflib.get_close_matches(name, languages, n=1, cutoff=0.0)[0]
                raise IsoglossError(
                    f"{option}: the model has no language {name!r}; the nearest it has is {near!r} "
                    f"(all {len(languages)}: {', '.join(languages[:20])}{' …' if len(languages) > 20 else ''})"
                )
    given = dict(priors or {})
    if not all(0 <= value <= 1 for value in given.values()) or sum(given.values()) > 1 + 1e-6:
        raise IsoglossError(f"priors {given}: expected probabilities that sum to at most 1; divide them by their sum")
    rest = max(0.0, 1 - sum(given.values())) / max(1, len(languages) - len(given))
    prior = np.array([given.get(name, rest) if allow is None or name in allow else 0.0 for name in languages])
    if not prior.any():
        raise IsoglossError("no language is left: allow is empty, or every allowed language has a prior of 0")
    with np.errstate(divide="ignore"):
        return np.log(prior)


def posterior(languages: Sequence[str], loglik: np.ndarray, prior: np.ndarray) -> dict[str, float]:
    """Bayes' rule: log-likelihoods [C] and log prior [C] to probabilities, most likely first, without the ruled-out."""
    joint = loglik + prior
    weight = np.exp(joint - joint.max())
    order = [c for c in np.argsort(-joint, kind="stable") if prior[c] > -np.inf]
    return {languages[c]: float(weight[c] / weight.sum()) for c in order}


def _open_network(model: ModelFile, threads: int) -> onnxruntime.InferenceSession:
    """The onnxruntime session, after a look at the promises an export can break."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; they come as exceptions
    try:
        session = onnxruntime.InferenceSession(model.network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no class of their own
        reason = str(error).splitlines()[0]
        raise IsoglossError(
            f"onnxruntime {onnxruntime.__version__} cannot open the network ({reason}); "
            "pip install --upgrade onnxruntime, or pack again with an older opset"
        ) from None
    features, embedding = session.get_inputs(), session.get_outputs()[0]
    manifest = model.manifest
    if len(features) != 1 or len(features[0].shape) != 3 or features[0].shape[2] != manifest.front_end.dim:
        raise IsoglossError(
            f"the network takes {[list(value.shape) for value in features]}; expected one input "
            f"[1, T, {manifest.front_end.dim}], the front end's frames: pack it with the front end it was trained on"
        )
    if isinstance(features[0].shape[1], int):
        raise IsoglossError(f"the network takes exactly {features[0].shape[1]} frames; export it with a dynamic T axis")
    if embedding.shape[-1] != manifest.embedding_dim:
        raise IsoglossError(
            f"the network gives {list(embedding.shape)} but the manifest promises an embedding of "
            f"{manifest.embedding_dim}; was the wrong output exported?"
        )
    return session
