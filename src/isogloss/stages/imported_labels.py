"""Labels made elsewhere, of the clips as they are: a speed copy takes those of the original at the matching time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from isogloss.config import PhonesConfig
from isogloss.frontend.augment import labels_at_speed
from isogloss.phones.imports import fit_to_frames, imported, label_files, last_part, names_in
from isogloss.stages.features import speed_of, utterance_of
from isogloss.stages.label_source import Corpus, LabelSource
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)


def from_import(corpus: Corpus, config: PhonesConfig) -> LabelSource:
    """Labels of the file or folder `config.labels`, whose utterances are named by clip id or by its last part."""
    assert config.labels is not None  # the config sees to it
    stores = corpus.stores
    lengths = {cut.id: len(stores.voiced[cut.id]) for cut in corpus.cuts}
    by_any_name = {last_part(name): length for name, length in lengths.items()} | lengths
    found = imported(config.labels, by_any_name, config.states_per_phone)
    named = names_in(found.labels, lengths)
    trained = corpus.trained()
    missing = sorted(name for name in trained if name not in named)
    if 2 * len(missing) > len(trained):
        raise IsoglossError(
            f"{config.labels} has labels of {len(found.labels)} utterances such as {min(found.labels)!r}, but none of "
            f"{len(missing)} of the {len(trained)} clips to train on such as {missing[0]!r}; expected most, named by the clip's "
            "id or its last part: were they made of this corpus?"
        )
    if missing:
        logger.warning(
            "%d of %d clips to train on have no labels, the first is %s", len(missing), len(trained), missing[0]
        )

    def labels(keys: Sequence[str]) -> Iterator[np.ndarray]:
        for key in keys:
            name = utterance_of(key)
            if name not in named:
                yield corpus.unlabelled(key)
                continue
            of_original = fit_to_frames(found.labels[named[name]], lengths[name], name)
            voiced = stores.voiced[key]
            yield labels_at_speed(of_original, len(voiced), speed_of(key))[voiced]

    about = {
        "labels": str(config.labels),
        "clips_without_labels": len(missing),
        "labels_without_clip": len(found.labels) - len(named),
    }
    return LabelSource(found.num_pdfs, found.pdf_names, labels, about)


def seen(labels: Path) -> list[tuple[str, int, int]]:
    """(name, bytes, time) of every file the labels come from."""
    _, files = label_files(labels)
    return [(file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in files]
