import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from isogloss.phones.kaldi_ali import read_alignments, read_pdf_ark
from isogloss.phones.kaldi_model import check_tree, read_gmm, read_transition_model, read_tree
from isogloss.types import IsoglossError

DATA = Path(__file__).parents[1] / "data" / "kaldi_gmm"

# Two phones of one and two emitting states, three pdfs of two dimensions: as Kaldi prints it.
TEXT_MODEL = """<TransitionModel>
<Topology>
<TopologyEntry>
<ForPhones>
2
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.5 <Transition> 1 0.5 </State>
<State> 1 <PdfClass> 1 <Transition> 1 0.75 <Transition> 2 0.25 </State>
<State> 2 </State>
</TopologyEntry>
<TopologyEntry>
<ForPhones>
1
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.75 <Transition> 1 0.25 </State>
<State> 1 </State>
</TopologyEntry>
</Topology>
<Triples> 3
1 0 2
2 0 0
2 1 1
</Triples>
<LogProbs>
 [ 0 -0.2 -1.6 -0.7 -0.7 -0.3 -1.4 ]
</LogProbs>
</TransitionModel>
"""
GAUSSIANS = [  # weights, means, variances
    ([1.0], [[1.0, -2.0]], [[0.5, 4.0]]),
    ([0.25, 0.75], [[0.0, 1.0], [3.0, 5.0]], [[1.0, 1.0], [2.0, 0.5]]),
    ([1.0], [[-1.5, 0.5]], [[8.0, 0.25]]),
]
TEXT_TREE = """ContextDependency 3 1 ToPdf TE 1 3 ( NULL CE 2
SE -1 [ 0 ]
{ CE 0 SE 0 [ 0 1 ]
{ CE 1 CE 1 }
}
)
EndContextDependency
"""


def _gaussians(real, integer, word, vector, matrix):
    """The part of final.mdl after the transition model."""
    out = word("<DIMENSION>") + integer(2) + word("<NUMPDFS>") + integer(3)
    for weights, means, variances in GAUSSIANS:
        inv_vars = 1 / np.array(variances)
        out += word("<DiagGMM>") + word("<GCONSTS>") + vector(np.zeros(len(weights))) + word("<WEIGHTS>")
        out += vector(weights) + word("<MEANS_INVVARS>") + matrix(np.array(means) * inv_vars)
        out += word("<INV_VARS>") + matrix(inv_vars) + word("</DiagGMM>")
    return out


def _text_gaussians():
    def numbers(values):
        return " ".join(f"{value:.7g}" for value in values)

    return _gaussians(
        str,
        lambda value: f"{value} ",
        lambda word: f"{word} ",
        lambda values: f" [ {numbers(values)} ]\n",
        lambda rows: " [\n  " + "\n  ".join(numbers(row) for row in rows) + " ]\n",
    )


def _integer(value):
    return b"\4" + struct.pack("<i", value)


def _real(value):
    return b"\4" + struct.pack("<f", value)


def _word(word):
    return word.encode() + b" "


def _integers(values):
    return b"\4" + struct.pack(f"<i{len(values)}i", len(values), *values)


def _vector(values):
    return b"FV " + _integer(len(values)) + np.asarray(values, dtype="<f4").tobytes()


def _matrix(rows):
    return b"DM " + _integer(rows.shape[0]) + _integer(rows.shape[1]) + np.asarray(rows, dtype="<f8").tobytes()


def _binary_model(loop_pdfs=None):
    """TEXT_MODEL in binary; `loop_pdfs` makes it one with forward and self-loop pdfs."""
    second = [] if loop_pdfs is None else [1]

    def state(pdf_class, *transitions):
        classes = b"".join(_integer(pdf_class) for _ in [0, *second])
        return classes + _integer(len(transitions)) + b"".join(_integer(to) + _real(p) for to, p in transitions)

    out = b"\0B" + _word("<TransitionModel>") + _word("<Topology>") + _integers([1, 2]) + _integers([-1, 1, 0])
    out += b"".join(_integer(-1) for _ in second) + _integer(2)
    out += _integer(3) + state(0, (0, 0.5), (1, 0.5)) + state(1, (1, 0.75), (2, 0.25)) + state(-1)
    out += _integer(2) + state(0, (0, 0.75), (1, 0.25)) + state(-1) + _word("</Topology>")
    kind = "Triples" if loop_pdfs is None else "Tuples"
    out += _word(f"<{kind}>") + _integer(3)
    for index, row in enumerate([(1, 0, 2), (2, 0, 0), (2, 1, 1)]):
        out += b"".join(map(_integer, [*row, *([loop_pdfs[index]] if loop_pdfs else [])]))
    out += _word(f"</{kind}>") + _word("<LogProbs>") + _vector([0, -0.2, -1.6, -0.7, -0.7, -0.3, -1.4])
    return out + _word("</LogProbs>") + _word("</TransitionModel>")


def _binary_tree():
    def leaf(pdf):
        return _word("CE") + _integer(pdf)

    size = b"\xfc" + struct.pack("<I", 3)  # unsigned
    out = b"\0B" + _word("ContextDependency") + _integer(3) + _integer(1) + _word("ToPdf")
    out += _word("TE") + _integer(1) + size + _word("(") + _word("NULL") + leaf(2)
    out += _word("SE") + _integer(-1) + _integers([0]) + _word("{") + leaf(0)
    out += _word("SE") + _integer(0) + _integers([0, 1]) + _word("{") + leaf(1) + leaf(1) + _word("}")
    return out + _word("}") + _word(")") + _word("EndContextDependency")


@pytest.fixture(params=["text", "binary", "text.gz", "binary.gz", "tuples"])
def files(request, tmp_path):
    """(final.mdl, tree) of one small model, in every form."""
    model, tree = TEXT_MODEL.encode() + _text_gaussians().encode(), TEXT_TREE.encode()
    if request.param != "text" and not request.param.startswith("text"):
        head = _binary_model([2, 0, 1] if request.param == "tuples" else None)
        model = head + _gaussians(_real, _integer, _word, _vector, _matrix)
        tree = _binary_tree()
    paths = tmp_path / "final.mdl", tmp_path / "tree"
    for path, content in zip(paths, (model, tree), strict=True):
        path.write_bytes(gzip.compress(content) if request.param.endswith(".gz") else content)
    return paths


@pytest.fixture
def text_model(tmp_path):
    path = tmp_path / "final.mdl"
    path.write_text(TEXT_MODEL)
    return path


def test_the_same_model_in_every_form(files):
    model = read_transition_model(files[0])
    assert model.states.tolist() == [[1, 0, 2], [2, 0, 0], [2, 1, 1]]
    assert np.allclose(model.log_probs, [0, -0.2, -1.6, -0.7, -0.7, -0.3, -1.4])
    assert [[s.transitions for s in model.topologies[phone]] for phone in (1, 2)] == [
        [((0, 0.75), (1, 0.25))],
        [((0, 0.5), (1, 0.5)), ((1, 0.75), (2, 0.25))],
    ]
    assert [[s.pdf_class for s in model.topologies[phone]] for phone in (1, 2)] == [[0], [0, 1]]


def test_its_gaussians_score_frames_as_the_formula_does(files):
    gmm = read_gmm(files[0])
    assert gmm.offsets.tolist() == [0, 1, 3, 4]
    frames = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    expected = np.zeros((5, 3))
    for t, frame in enumerate(frames.astype(float)):
        for pdf, mixture in enumerate(GAUSSIANS):
            total = 0.0
            for weight, mean, variance in zip(*map(np.array, mixture), strict=True):
                total += weight * np.prod(np.exp(-((frame - mean) ** 2) / variance / 2) / np.sqrt(2 * np.pi * variance))
            expected[t, pdf] = np.log(total)
    assert np.allclose(gmm.loglik(frames), expected, rtol=1e-4, atol=1e-4)


def test_its_tree_in_every_form(files):
    tree = read_tree(files[1])
    assert (tree.context_width, tree.central_position, tree.num_pdfs) == (3, 1, 3)
    assert [tree.pdf(window, c) for window, c in [((0, 1, 2), 0), ((2, 2, 1), 0), ((0, 2, 1), 1)]] == [2, 0, 1]
    check_tree(tree, read_transition_model(files[0]), "tree", "final.mdl")


def test_a_real_model_is_the_same_in_binary_and_text():
    binary, text = (read_transition_model(DATA / f"transitions.mdl{end}") for end in (".gz", ".txt.gz"))
    assert (binary.num_pdfs, len(binary.states), binary.num_transition_ids) == (1152, 1802, 3612)
    assert np.array_equal(binary.states, text.states)
    assert binary.topologies == text.topologies
    assert np.allclose(binary.log_probs, text.log_probs, rtol=1e-5, atol=1e-6)


def test_a_real_tree_answers_with_every_state_of_its_model():
    tree, model = read_tree(DATA / "tree.gz"), read_transition_model(DATA / "transitions.mdl.gz")
    assert (tree.num_pdfs, tree.context_width, tree.central_position) == (1152, 3, 1)
    check_tree(tree, model, "tree", "final.mdl")
    states = set(map(tuple, model.states.tolist()))
    rng = np.random.default_rng(2)
    for _ in range(2000):
        left, phone, right = rng.integers(0, 192, size=3).tolist()
        for state in range(len(model.topologies[phone]) if phone else 0):
            assert (phone, state, tree.pdf((left, phone, right), state)) in states


def test_real_alignments_give_what_kaldi_printed():
    model = read_transition_model(DATA / "transitions.mdl.gz")
    expected = np.load(DATA / "expected.npz")
    found = dict(read_alignments(DATA / "ali.1.gz", model))
    assert sorted(found) == ["utt0", "utt1", "utt2", "utt3"]
    for utterance, alignment in found.items():
        assert np.array_equal(model.pdf_of[alignment], expected[f"{utterance}/pdf_ids"])
        segments = model.phone_segments(alignment)
        phones = np.repeat([phone for phone, _, _ in segments], [stop - start for _, start, stop in segments])
        assert np.array_equal(phones, expected[f"{utterance}/phones"])
        for phone, start, stop in segments:  # each is one pass through the phone's HMM
            assert model.is_final[alignment[start:stop]].sum() == 1
            assert model.hmm_state_of[alignment[start]] == 0
            assert (model.phone_of[alignment[start:stop]] == phone).all()


ENTRIES = {"a": [1, 3, 3, 5], "b-2": [], "ü": [2, 6]}


def _write(path, form):
    """An archive by Kaldi's own code (kaldi_native_io)."""
    kaldi = pytest.importorskip("kaldi_native_io")
    with kaldi.Int32VectorWriter(f"ark{',t' if 'text' in form else ''}:{path}") as writer:
        for utterance, values in ENTRIES.items():
            writer.write(utterance, values)
    if form.endswith("gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("form", ["text", "binary", "text.gz", "binary.gz"])
def test_archives_in_every_form(tmp_path, text_model, form):
    path = _write(tmp_path / "ali.1", form)
    for archives in (path, f"ark:{path}", str(tmp_path / "ali.*"), [path]):
        found = dict(read_alignments(archives, read_transition_model(text_model)))
        assert {utterance: values.tolist() for utterance, values in found.items()} == ENTRIES
    assert {utterance: values.tolist() for utterance, values in read_pdf_ark(path)} == ENTRIES


def test_a_list_of_places(tmp_path):
    kaldi = pytest.importorskip("kaldi_native_io")
    with kaldi.Int32VectorWriter(f"ark,scp:{tmp_path}/a.ark,{tmp_path}/a.scp") as writer:
        for utterance, values in ENTRIES.items():
            writer.write(utterance, values)
    for archives in (tmp_path / "a.scp", f"scp:{tmp_path}/a.scp"):
        assert {utterance: values.tolist() for utterance, values in read_pdf_ark(archives)} == ENTRIES
    (tmp_path / "b.scp").write_text("a a.ark\n")
    with pytest.raises(IsoglossError, match=r"b\.scp line 1.*expected 'utterance archive:offset'"):
        list(read_pdf_ark(tmp_path / "b.scp"))


def test_several_archives_may_not_share_an_utterance(tmp_path):
    (tmp_path / "1.ark").write_text("a 1 2\n")
    (tmp_path / "2.ark").write_text("b 1\na 3\n")
    (tmp_path / "3.ark").write_text("")  # a job without utterances
    with pytest.raises(IsoglossError, match=r"utterance a is both in .*1\.ark and in .*2\.ark"):
        list(read_pdf_ark(str(tmp_path / "?.ark")))
    assert len(list(read_pdf_ark([tmp_path / "2.ark", tmp_path / "3.ark"]))) == 2


@pytest.mark.parametrize("number", [0, 7, -1])
def test_a_transition_id_of_another_model(tmp_path, text_model, number):
    (tmp_path / "ali").write_text(f"a 1 2\nb 1 {number}\n")
    with pytest.raises(IsoglossError, match=rf"ali, utterance b: transition-id {number}, but the model has 1 to 6"):
        list(read_alignments(tmp_path / "ali", read_transition_model(text_model)))


def test_truncated_archives(tmp_path):
    whole = gzip.decompress((DATA / "ali.1.gz").read_bytes())
    (tmp_path / "cut").write_bytes(whole[: len(whole) - 7])
    with pytest.raises(
        IsoglossError, match=r"cut ends or breaks within or after utterance utt\d \(\d+ of \d+ frames\)"
    ):
        list(read_pdf_ark(tmp_path / "cut"))
    (tmp_path / "cut.gz").write_bytes((DATA / "ali.1.gz").read_bytes()[:-300])
    with pytest.raises(IsoglossError, match=r"cut\.gz ends or breaks .*utt\d.*was it copied whole"):
        list(read_pdf_ark(tmp_path / "cut.gz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no utterance in it"),
        (b"RIFF\x24\x08\x00\x00WAVEfmt ", "instead of an utterance's name"),
        (b"a 1 2 x\n", "utterance a: .* instead of whole numbers"),
        (b"a 99999999999\n", "utterance a: .* instead of whole numbers"),
        (b"a \0BFM \4\1\0\0\0", "utterance a: .* instead of a count of frames"),
        (b"a \0B\4", "utterance a .no frames"),
        (b"a \0B\4\2\0\0\0" + b"\1" * 10, "utterance a: not a list of whole numbers"),
        (b"a -3\n", "utterance a: pdf-id -3 is below 0"),
        (b"lonely\n", "instead of an utterance's name and a space"),
    ],
)
def test_what_is_no_archive(tmp_path, content, message):
    (tmp_path / "x.ark").write_bytes(content)
    with pytest.raises(IsoglossError, match=rf"x\.ark.*{message}"):
        list(read_pdf_ark(tmp_path / "x.ark"))


def test_archives_that_are_not_there(tmp_path):
    with pytest.raises(IsoglossError, match=r"no file .*ali\.\*\.gz"):
        list(read_pdf_ark(str(tmp_path / "ali.*.gz")))
    with pytest.raises(IsoglossError, match="is a command; name the files themselves"):
        list(read_pdf_ark("ark:gunzip -c ali.1.gz|"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "found 'RIFF....WAVE' where <TransitionModel> was expected"),
        (TEXT_MODEL[:400].encode(), "ends too early"),
        (_binary_model()[:200], "ends too early"),
        (TEXT_MODEL.replace("1 0 2", "9 0 2").encode(), r"found '\(9, 0, 2\)'"),
        (TEXT_MODEL.replace("-1.4 ]", "]").encode(), "5 transition probabilities for 6 transition-ids"),
        (TEXT_MODEL.replace("-1.4 ]", "x ]").encode(), "where numbers was expected"),
        (TEXT_MODEL.replace("<Triples> 3", "<Triples> three").encode(), "found 'three' where a whole number"),
        (TEXT_MODEL.replace("<PdfClass> 1 ", "").encode(), "where an emitting one that leads on"),
        (_binary_model([2, 1, 1]), "phone 2 has one pdf for its self-loop and another .*ali-to-pdf"),
        (gzip.compress(TEXT_MODEL.encode())[:-20], "cannot be read"),
    ],
)
def test_what_is_no_model(tmp_path, content, message):
    (tmp_path / "final.mdl").write_bytes(content)
    with pytest.raises(IsoglossError, match=rf"final\.mdl.*{message}"):
        read_transition_model(tmp_path / "final.mdl")


def test_a_model_without_gaussians(tmp_path, text_model):
    text_model.write_text(TEXT_MODEL + "<Nnet3> ")
    with pytest.raises(IsoglossError, match="is not a GMM: after its transition model comes '<Nnet3>'"):
        read_gmm(text_model)
    text_model.write_text(TEXT_MODEL + _text_gaussians().replace("<NUMPDFS> 3", "<NUMPDFS> 4"))
    with pytest.raises(IsoglossError, match="has 4 pdfs, but its transition model 3"):
        read_gmm(text_model)


def test_a_tree_of_another_model(tmp_path, text_model):
    model = read_transition_model(text_model)
    (tmp_path / "tree").write_text(TEXT_TREE.replace("CE 2", "CE 3"))
    with pytest.raises(IsoglossError, match=r"tree has 4 pdfs, .* has 3"):
        check_tree(read_tree(tmp_path / "tree"), model, tmp_path / "tree", text_model)
    (tmp_path / "tree").write_text(TEXT_TREE.replace("{ CE 0", "{ CE 1").replace("{ CE 1 CE 1 }", "{ CE 0 CE 0 }"))
    with pytest.raises(IsoglossError, match="no context in which phone 2, HMM state 0 is pdf 0"):
        check_tree(read_tree(tmp_path / "tree"), model, tmp_path / "tree", text_model)
    (tmp_path / "tree").write_text(TEXT_TREE[:60])
    with pytest.raises(IsoglossError, match="tree ends too early"):
        read_tree(tmp_path / "tree")
