"""The phone recogniser's parts against named peers, on a generated recogniser of realistic size: time and error.

    python bench/phones.py [--seed 0] [--utterances 12]

Times are CPU seconds of one thread, the best of three runs, ours and the peer's in turn, utterance by utterance; × real
time is seconds of audio, at 100 frames a second, per CPU second. Peers are kaldifst and kaldi-decoder (Kaldi's code behind
Python; extra `dev`) for graph and search, elsewhere the same sums written in NumPy.
"""

# ruff: noqa: E402 (thread counts must be set before NumPy is loaded)
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from generated_recogniser import SILENCE, Recogniser, Speech
from phone_peers import HAVE_KALDI, FasterDecoder, NumpyGmm, as_arrays, compose, openfst_grammar, openfst_lexicon

from isogloss.phones.hmm.align import PackedGraphs, align
from isogloss.phones.hmm.decode import Decoder
from isogloss.phones.hmm.fst_arrays import FstArrays
from isogloss.phones.hmm.gmm import PackedGmm, accumulate
from isogloss.phones.hmm.graph import build_graph
from isogloss.phones.hmm.ngram import END, START, PhoneLM
from isogloss.phones.hmm.utterance_graph import SILENCE_PROBABILITY, UtteranceGraph, build

ResultT = TypeVar("ResultT")
FRAMES_PER_SECOND = 100
PRUNING = ((10.0, 2000), (13.0, 7000))  # beam, max_active: our default, and that of Kaldi's steps/decode.sh
EXACT_UTTERANCES = 3  # aligned without a beam
COPIES = 40  # of the utterances in the E step: as many frames to a pdf as in training
MISSING = "kaldifst or kaldi-decoder is not installed"


def cpu_seconds(work: Callable[[], ResultT], runs: int = 3) -> tuple[float, ResultT]:
    """CPU seconds of the fastest run, and what it gave."""
    times = []
    for _ in range(runs):
        begun = time.process_time()
        result = work()
        times.append(time.process_time() - begun)
    return min(times), result


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def graph_table(world: Recogniser, folder: Path) -> FstArrays:
    """Ours is H∘C∘L∘G; the peer stops at C∘L∘G, from which Kaldi has H and the self-loops still to go."""

    def ours(self_loop_scale: float = 0.1) -> FstArrays:
        return build_graph(world.model, world.tree, world.lm, silence_phone=SILENCE, self_loop_scale=self_loop_scale)

    sentences = [[phone for word in world.sentence() for phone in word] for _ in range(20)]
    print("## Graph building\n")
    print("| graph | built by | CPU s | states | arcs | error of sentences' costs |\n|---|---|--:|--:|--:|--:|")

    def show(made: str, by: str, seconds: float, graph: FstArrays, error: float) -> None:
        row(made, by, f"{seconds:.2f}", f"{graph.num_states:,}", f"{len(graph.arcs):,}", f"{error:.1e}")

    seconds, graph = cpu_seconds(ours)
    # without the weights of self-loops a phone's HMM costs nothing: what is left is the n-gram and the pauses not made
    show("H∘C∘L∘G", "build_graph", seconds, graph, cost_error(ours(0.0), sentences, world.lm))
    if not HAVE_KALDI:
        row("C∘L∘G", MISSING, "–", "–", "–", "–")
        return graph
    grammar, lexicon = openfst_grammar(world.lm), openfst_lexicon(world.lm, SILENCE)
    backoff = max(world.lm.vocabulary) + 1
    seconds, fst = cpu_seconds(lambda: compose(lexicon, grammar, backoff), runs=1)
    peer = as_arrays(fst, folder / "peer.fst")
    how = "kaldifst compose, determinize_star, minimize_encoded, compose_context"
    show("C∘L∘G", how, seconds, peer, cost_error(peer, sentences, world.lm))
    print("\nThe error is that of the best path, relative to float64; minimize_encoded rounds weights to 1/1024.")
    return graph


def cost_error(graph: FstArrays, sentences: Sequence[Sequence[int]], lm: PhoneLM) -> float:
    """Largest relative difference of a sentence's cheapest path from its cheapest by the n-gram in float64, without pauses."""
    no_pause = -np.log(1 - SILENCE_PROBABILITY)
    expected = [cheapest_by_ngram(lm, phones) + (len(phones) + 1) * no_pause for phones in sentences]
    return max(abs(cheapest(graph, phones) / cost - 1) for phones, cost in zip(sentences, expected, strict=True))


def cheapest_by_ngram(lm: PhoneLM, phones: Sequence[int]) -> float:
    """Over all ways of backing off: who leaves a history early need not pay for leaving a longer one later."""
    costs: dict[tuple[int, ...], float] = {lm.state((START,)): 0.0}
    for phone in [*phones, END]:
        after: dict[tuple[int, ...], float] = {}
        for history, paid in costs.items():
            cost = paid
            for length in range(len(history) + 1):
                used = history[length:]
                if phone in lm.log_probs[used]:
                    then = () if phone == END else lm.state((*used, phone))
                    after[then] = min(after.get(then, np.inf), cost - lm.log_probs[used][phone])
                cost -= lm.log_backoffs.get(used, 0.0)
        costs = after
    return min(costs.values())


def cheapest(graph: FstArrays, phones: Sequence[int]) -> float:
    """Cost of the best path with these outputs, self-loops left out (Dijkstra between one output and the next)."""
    costs = {graph.start: 0.0}
    for wanted in [*phones, -1]:
        queue = [(cost, state) for state, cost in costs.items()]
        heapq.heapify(queue)
        reached: dict[int, float] = {}
        while queue:
            cost, state = heapq.heappop(queue)
            if cost > costs[state]:
                continue
            arcs = graph.arcs[graph.first[state] : graph.first[state + 1]]
            for _, output, weight, to in arcs[(arcs["olabel"] == 0) | (arcs["olabel"] == wanted)].tolist():
                into = reached if output else costs
                if to != state and cost + weight < into.get(to, np.inf):
                    into[to] = cost + weight
                    if not output:
                        heapq.heappush(queue, (cost + weight, to))
        costs = reached if wanted > 0 else costs
    return min(cost + float(graph.final[state]) for state, cost in costs.items())


def search_table(world: Recogniser, graph: FstArrays, speech: dict[str, list[Speech]], folder: Path) -> None:
    """× real time of both, and how far the two paths differ."""
    print("\n## Search\n")
    print(
        "| speech | beam | max_active | ours × real time | kaldi-decoder FasterDecoder × real time | ratio | same transition-id "
        "| our cost beside the peer's |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    peer = FasterDecoder(graph, world.model, folder / "graph.fst") if HAVE_KALDI else None
    for kind, utterances in speech.items():
        logliks = [world.gmm.loglik(utterance.frames) for utterance in utterances]
        num_frames = sum(map(len, logliks))
        for beam, max_active in PRUNING:
            decoder = Decoder(graph, world.model, beam=beam, max_active=max_active)
            seconds, cost, same = np.zeros(2), np.zeros(2), 0
            for loglik in logliks:
                seconds[0] += (timed := cpu_seconds(lambda: decoder.decode(loglik)))[0]  # noqa: B023
                cost[0] -= timed[1].score
                if peer is not None:
                    taken, (ids, weight) = cpu_seconds(peer.ready(loglik, decoder.acoustic_scale, beam, max_active))
                    seconds[1] += taken
                    cost[1] += weight
                    same += int((timed[1].transition_ids == np.array(ids)).sum())
            cells = [kind, f"{beam:g}", str(max_active), f"{num_frames / FRAMES_PER_SECOND / seconds[0]:,.0f}"]
            if peer is None:
                row(*cells, MISSING, "–", "–", "–")
                continue
            speed, ratio = num_frames / FRAMES_PER_SECOND / seconds[1], seconds[1] / seconds[0]
            row(*cells, f"{speed:,.0f}", f"{ratio:.1f}", f"{same / num_frames:.2%}", f"{cost[0] / cost[1] - 1:+.1e}")


def likelihood_table(gmm: PackedGmm, utterances: list[Speech]) -> None:
    """Ours, the same by NumPy, and the matrix product alone: the rate that the machine has for this shape."""
    numpy = NumpyGmm(gmm, np.float32)
    works: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "PackedGmm.loglik": gmm.loglik,
        "NumPy, log-sum-exp of a product": numpy.loglik,
        "NumPy, the product alone": numpy.products,
    }
    seconds = dict.fromkeys(works, 0.0)
    for utterance in utterances:
        for name, work in works.items():
            seconds[name] += cpu_seconds(lambda: work(utterance.frames))[0]  # noqa: B023
    exact = NumpyGmm(gmm, np.float64).loglik(utterances[0].frames)
    errors = [f"{np.abs(work(utterances[0].frames) - exact).max():.1e}" for work in (gmm.loglik, numpy.loglik)]
    num_frames = sum(len(utterance.frames) for utterance in utterances)
    operations = 4.0 * num_frames * gmm.num_gaussians * gmm.dim
    product = seconds["NumPy, the product alone"]
    print("\n## Likelihoods of every pdf\n")
    print(
        "| float32 | × real time | GFLOP/s | share of the product's rate | max abs Δ from float64 |\n|---|--:|--:|--:|--:|"
    )
    for (name, taken), error in zip(seconds.items(), [*errors, "–"], strict=True):
        speed = num_frames / FRAMES_PER_SECOND / taken
        row(name, f"{speed:,.0f}", f"{operations / taken / 1e9:.0f}", f"{product / taken:.0%}", error)


def training_table(world: Recogniser, utterances: list[Speech]) -> None:
    """An EM pass, the graphs of transcripts, and forced alignment of the same speech."""
    exact = NumpyGmm(world.gmm, np.float64)
    print("\n## Training steps\n")
    print("| step | ours | NumPy, float64 | error of ours |\n|---|--:|--:|---|")

    frames, pdf_ids = world.training_frames(utterances, COPIES)
    seconds, sums = cpu_seconds(lambda: accumulate(world.gmm, frames, pdf_ids))
    peer_seconds, expected = cpu_seconds(lambda: exact.sums(frames, pdf_ids), runs=1)
    found = (sums.counts, sums.first, sums.second, np.array([sums.loglik]))
    errors = [
        f"{name} {np.abs(mine - other).max() / np.abs(other).max():.1e}"
        for mine, (name, other) in zip(found, expected.items(), strict=True)
    ]
    rates = [f"{len(frames) / taken:,.0f} frames/s" for taken in (seconds, peer_seconds)]
    told = f"of {len(frames):,} frames, largest Δ by the largest value: {', '.join(errors)}"
    row("E step (`accumulate`)", *rates, told)

    frames = np.concatenate([utterance.frames for utterance in utterances])
    audio = len(frames) / FRAMES_PER_SECOND

    def transcript(utterance: Speech) -> UtteranceGraph:
        return build([(word,) for word in utterance.words], world.model, world.tree, SILENCE)

    seconds, graphs = cpu_seconds(lambda: [transcript(utterance) for utterance in utterances])
    row("graphs of transcripts (`build`)", f"{audio / seconds:,.0f} × real time", "–", "–")

    starts, packed = np.cumsum([0, *(len(utterance.frames) for utterance in utterances)]), PackedGraphs.of(graphs)
    seconds, made = cpu_seconds(lambda: align(world.gmm, frames, starts, packed, world.model))
    peer_seconds, same, differences = 0.0, 0, []
    for place, graph in enumerate(graphs[:EXACT_UTTERANCES]):
        span = slice(starts[place], starts[place + 1])
        taken, (score, ids) = cpu_seconds(lambda: exact.align(graph, world.model, frames[span]), runs=1)  # noqa: B023
        peer_seconds += taken
        same += int((made.transition_ids[span] == ids).sum())
        differences.append(abs(made.scores[place] / score - 1))
    num_exact = int(starts[min(EXACT_UTTERANCES, len(graphs))])
    row(
        f"forced alignment (`align`), {len(made.failed)} of {len(graphs)} lost",
        f"{audio / seconds:,.0f} × real time",
        f"{num_exact / FRAMES_PER_SECOND / peer_seconds:,.0f} × real time, no beam",
        f"of {num_exact:,} frames: score {max(differences):.1e}, same transition-id {same / num_exact:.2%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--utterances", type=int, default=12)
    options = parser.parse_args()
    world = Recogniser(options.seed)
    sentences = [world.sentence() for _ in range(options.utterances)]
    speech = {
        "clean": [world.speak(words) for words in sentences],
        "noisy": [world.speak(words, noisy=True) for words in sentences],
    }
    seconds = sum(len(utterance.frames) for utterance in speech["clean"]) / FRAMES_PER_SECOND
    print(
        f"{world.num_phones} phones, {world.model.num_pdfs:,} pdfs, {world.model.num_transition_ids:,} transition-ids, "
        f"{world.gmm.num_gaussians:,} Gaussians × {world.gmm.dim}, 3-gram of {world.num_tokens:,} tokens; "
        f"{len(sentences)} generated utterances, {seconds:.0f} s; one thread\n"
    )
    with tempfile.TemporaryDirectory(prefix="isogloss-bench-") as folder:
        graph = graph_table(world, Path(folder))
        search_table(world, graph, speech, Path(folder))
    likelihood_table(world.gmm, speech["clean"])
    training_table(world, speech["clean"])


if __name__ == "__main__":
    main()
