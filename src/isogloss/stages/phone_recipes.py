"""`isogloss recipe phones-cmn`: train a Mandarin phone recogniser on audio-cmn and score every stage on its held-out words."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from isogloss.config import DecodeConfig, PhoneModelConfig, StageConfig
from isogloss.corpora.transcribed import audio_cmn
from isogloss.phones.pinyin import pinyin_lexicon
from isogloss.stages.ledger import write_json
from isogloss.stages.phone_model import train_phones
from isogloss.stages.phone_recognition import score_phones

PHONE_RECIPE = "phones-cmn"

logger = logging.getLogger(__name__)


class PhoneRecipeConfig(StageConfig):
    """Training and search."""

    model: PhoneModelConfig = PhoneModelConfig()
    decode: DecodeConfig = DecodeConfig()


def phones_cmn(root: Path, out: Path, config: PhoneRecipeConfig) -> Path:
    """Every stage trained on 1,692 clips and scored on 187; returns OUT/results.json.

    results.json: stage → per (per cent, of the adapted pass where there is one), num_pdfs, num_gaussians, loglik_per_frame,
    seconds (of training), and how the rate came about.
    """
    items = audio_cmn(root)
    lexicon = pinyin_lexicon(item.words for item in items)
    model = train_phones(items, lexicon, out / "model", config.model)
    figures = json.loads((model / "stage.json").read_text(encoding="utf-8"))["stages"]
    results: dict[str, dict[str, Any]] = {}
    for stage, of in figures.items():
        scored = score_phones(items, lexicon, model / stage, out / "test", config.decode)
        named = {name: of[name] for name in ("num_pdfs", "num_gaussians", "loglik_per_frame", "seconds")}
        results[stage] = {"per": scored.pop("per"), **named, **scored}
        logger.info(
            "%s: phone error rate %.2f %% (language-model weight %d)", stage, results[stage]["per"], scored["lm_weight"]
        )
    write_json(out / "results.json", results)
    return out / "results.json"
