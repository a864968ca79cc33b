"""A phone recogniser of realistic size that nobody has to train or download, and speech for it: all drawn from one seed.

The language is made of words of syllables, initial and toned final, like Mandarin's 190 phones beside silence. A phone's
sound has three parts, each a place in feature space shared by all tones of a final, and its first and last part lean
towards its neighbours; so the tree, grown on the language's triphones by the project's own code, has something to find.
Each leaf's Gaussian is split as in training, and the halves parted. Speech is drawn from the Gaussians along random
sentences, with an offset for every phone said, since real frames do not err independently. Of the tokens that the search
keeps there are then as many as on real speech: 22 a frame on clean, over a hundred on noisy speech at the default beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.gmm import PackedGmm, split
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.topology import TransitionModel, left_to_right, silence_topology
from isogloss.phones.hmm.train import single_gaussians
from isogloss.phones.hmm.tree import OUTSIDE
from isogloss.phones.hmm.tree_building import TreeStats, build_tree, find_questions, reachable_states

SILENCE, NUM_INITIALS, NUM_FINALS, NUM_TONES = 1, 20, 34, 5
NUM_WORDS, NUM_TOKENS = 1200, 7000
DIM, NUM_PDFS, NUM_GAUSSIANS = 40, 1150, 10600
SPREAD = np.linspace(2.2, 0.5, DIM)  # of sounds, in deviations within one: as LDA orders its dimensions
FRAMES_PER_PART = 10.0  # of a triphone each time it occurs in the text: enough for the Gaussians wanted
STAY = 0.7  # probability of a self-loop: ten frames to a phone
PAUSE = 0.2  # probability between two words
BLURRED, NOISE = 0.5, 1.2  # noisy speech: its distance from the mean of all sounds, and what is added, in deviations

Word = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Speech:
    """One utterance: what was said, and its frames [T, D] with the transition-id [T] that each was drawn from."""

    words: list[Word]
    frames: np.ndarray
    transition_ids: np.ndarray

    @property
    def phones(self) -> list[int]:
        return [phone for word in self.words for phone in word]


class Recogniser:
    """`model`, `tree`, `gmm`, `lm`, and a language to speak: `sentence`, `speak`."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = rng = np.random.default_rng(seed)
        initials = np.arange(NUM_INITIALS) + SILENCE + 1
        finals = np.arange(NUM_FINALS * NUM_TONES).reshape(NUM_FINALS, NUM_TONES) + initials[-1] + 1
        groups = [[int(phone)] for phone in initials] + finals.tolist()
        self.num_phones = int(finals.max())
        self.words = [self._word(initials, finals.ravel()) for _ in range(NUM_WORDS)]
        text: list[list[Word]] = []
        while sum(len(word) for words in text for word in words) < NUM_TOKENS:
            text.append(self.sentence())
        topologies = {SILENCE: silence_topology()} | dict.fromkeys(range(2, self.num_phones + 1), left_to_right())
        stats = self._stats(text, groups)
        questions = find_questions(stats, [[SILENCE], *groups])
        self.tree, rows = build_tree(stats, groups, questions, topologies, [SILENCE], max_leaves=NUM_PDFS)
        states = reachable_states(self.tree, topologies)
        initial = TransitionModel.initial(topologies, states)
        counts = np.where(initial.is_self_loop, STAY, 1 - STAY) * rng.uniform(70, 130, len(initial.log_probs))
        self.model = initial.reestimated(counts)
        self.gmm = self._gmm(stats, rows)
        sequences = [[phone for word in words for phone in word] for words in text]
        self.lm = PhoneLM.train(sequences, 3, range(SILENCE + 1, self.num_phones + 1))
        self.num_tokens = sum(map(len, sequences))

    def sentence(self) -> list[Word]:
        """Words drawn by Zipf's law."""
        share = 1.0 / (np.arange(NUM_WORDS) + 2.0)
        return [self.words[i] for i in self.rng.choice(NUM_WORDS, self.rng.integers(6, 15), p=share / share.sum())]

    def speak(self, words: list[Word], *, noisy: bool = False) -> Speech:
        """Frames along a random path of the sentence's HMM."""
        rng, model = self.rng, self.model
        phones = [OUTSIDE, *self._with_pauses(words), OUTSIDE]
        path, offsets = [], []
        for place in range(1, len(phones) - 1):
            window, topology, state = tuple(phones[place - 1 : place + 2]), model.topologies[phones[place]], 0
            offset = rng.normal(size=DIM) * 0.3 * SPREAD
            while state < len(topology):
                pdf = self.tree.pdf(window, topology[state].pdf_class)
                of = model.transition_state(phones[place], state, pdf)
                ids = np.arange(model.first_id[of], model.first_id[of + 1])
                probabilities = np.exp(model.log_probs[ids].astype(np.float64))
                path.append(int(rng.choice(ids, p=probabilities / probabilities.sum())))
                offsets.append(offset)
                state = topology[state].transitions[path[-1] - ids[0]][0]
        pdfs = model.pdf_of[path]
        chosen = [self._gaussian(pdf) for pdf in pdfs.tolist()]
        deviations = rng.normal(size=(len(path), DIM)) / np.sqrt(self.gmm.inv_vars[chosen])
        frames = self.gmm.means[chosen] + deviations + np.array(offsets)
        if noisy:
            frames = BLURRED * frames + NOISE * rng.normal(size=frames.shape)
        return Speech(words, frames.astype(np.float32), np.array(path, dtype=np.int32))

    def training_frames(self, utterances: list[Speech], copies: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames [N, D] of so many copies, noise of its own in each, and their pdf-ids [N]."""
        frames = np.concatenate([utterance.frames for utterance in utterances] * copies)
        pdf_ids = self.model.pdf_of[np.concatenate([utterance.transition_ids for utterance in utterances] * copies)]
        return frames + 0.5 * self.rng.standard_normal(frames.shape, dtype=np.float32), pdf_ids

    def _word(self, initials: np.ndarray, finals: np.ndarray) -> Word:
        phones: list[int] = []
        for _ in range(self.rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2])):
            phones += [int(self.rng.choice(initials))] if self.rng.random() < 0.9 else []
            phones.append(int(self.rng.choice(finals)))
        return tuple(phones)

    def _with_pauses(self, words: list[Word]) -> list[int]:
        phones = [SILENCE]
        for word in words:
            phones += [*word, *([SILENCE] if self.rng.random() < PAUSE else [])]
        return phones if phones[-1] == SILENCE else [*phones, SILENCE]

    def _stats(self, text: list[list[Word]], groups: list[list[int]]) -> TreeStats:
        """What the triphones of the text would have been accumulated to."""
        rng = self.rng
        group_of = np.zeros(self.num_phones + 1, dtype=np.int64)
        for number, group in enumerate(groups, SILENCE + 1):
            group_of[group] = number
        group_of[SILENCE] = SILENCE
        parts = rng.normal(size=(len(groups) + 2, 5, DIM))
        tones = 0.25 * rng.normal(size=(self.num_phones + 1, DIM))
        pull = 0.6 * rng.normal(size=(len(groups) + 2, DIM))
        seen: dict[tuple[int, int, int, int], float] = {}
        for words in text:
            phones = [OUTSIDE, *self._with_pauses(words), OUTSIDE]
            for left, phone, right in zip(phones, phones[1:], phones[2:], strict=False):
                around = (OUTSIDE, OUTSIDE) if phone == SILENCE else (left, right)
                for part in range(5 if phone == SILENCE else 3):
                    key = around[0], phone, around[1], part
                    seen[key] = seen.get(key, 0.0) + FRAMES_PER_PART
        keys = np.array(sorted(seen), dtype=np.int32)
        counts = np.array([seen[tuple(key)] for key in keys.tolist()])[:, None]
        left, phone, right, part = keys.T
        lean = (part == 0)[:, None] * pull[group_of[left]] + (part == 2)[:, None] * pull[group_of[right]]
        means = (parts[group_of[phone], part] + tones[phone] + lean * (phone != SILENCE)[:, None]) * SPREAD
        means += rng.normal(size=means.shape) / np.sqrt(counts)
        return TreeStats(keys, counts[:, 0], counts * means, counts * (1.0 + means**2))

    def _gmm(self, stats: TreeStats, rows: list[np.ndarray]) -> PackedGmm:
        """A Gaussian per leaf, split up to NUM_GAUSSIANS; then every mean is moved by a share of its deviation."""
        sums = [(stats.counts[of].sum(), stats.first[of].sum(0), stats.second[of].sum(0)) for of in rows]
        everything = np.arange(2, dtype=np.int32), np.zeros(1, np.float32), np.zeros((1, DIM), np.float32)
        single = single_gaussians(sums, PackedGmm(*everything, np.ones((1, DIM), np.float32)))
        many = split(single, np.array([count for count, _, _ in sums]), NUM_GAUSSIANS)
        moved = many.means + 0.7 * self.rng.normal(size=many.means.shape) / np.sqrt(many.inv_vars)
        inv_vars = many.inv_vars * self.rng.uniform(1.0, 3.0, many.inv_vars.shape)
        return PackedGmm(many.offsets, many.log_weights, moved.astype(np.float32), inv_vars.astype(np.float32))

    def _gaussian(self, pdf: int) -> int:
        begin, end = self.gmm.offsets[pdf : pdf + 2]
        weights = np.exp(self.gmm.log_weights[begin:end].astype(np.float64))
        return int(begin + self.rng.choice(end - begin, p=weights / weights.sum()))
