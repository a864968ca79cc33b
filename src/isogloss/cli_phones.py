"""`isogloss phones COMMAND`: train a phone recogniser, use it, judge its labels. A thin cover of the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from isogloss.cli_options import Frames, Out, Prepared, Set, epilog, wrote
from isogloss.config import BootstrapConfig, DecodeConfig, PhoneModelConfig, PhonesConfig, override
from isogloss.types import IsoglossError

app = typer.Typer(
    help="Virtual phoneme labels: train a recogniser, decode any language, import labels.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Corpus = Annotated[str, typer.Argument(help="table (TSV, CSV, JSONL), kaldi, thchs30 or audio-cmn")]
Root = Annotated[Path, typer.Argument(help="the table, or the corpus's folder")]
Lexicon = Annotated[
    str,
    typer.Option(
        help="lexicon file or Kaldi dict folder; or pinyin, pinyin-toneless, graphemes (a letter a phone), symbols (a word a phone)"
    ),
]
Model = Annotated[Path, typer.Argument(help="a stage's folder, such as OUT/tri4b of `phones train`")]


@app.command(epilog=epilog(PhoneModelConfig))
def train(
    corpus: Corpus,
    root: Root,
    out: Out,
    lexicon: Lexicon,
    last: Annotated[str, typer.Option(help="stop after mono, tri1, tri2b, tri3b or tri4b")] = "tri4b",
    size: Annotated[str, typer.Option(help="full, or small for minutes of speech rather than hours")] = "full",
    set_: Set = [],
) -> None:
    """GMM-HMM from transcribed speech: OUT/mono … OUT/tri4b. Run it again after a kill and it goes on."""
    from isogloss.stages.phone_model import train_phones

    if size not in ("full", "small"):
        raise IsoglossError(f"--size {size}: expected full or small")
    items = _items(corpus, root)
    start = PhoneModelConfig.small() if size == "small" else PhoneModelConfig()
    wrote(train_phones(items, _lexicon(lexicon, items), out, override(start, set_), last))


@app.command(epilog=epilog(BootstrapConfig))
def bootstrap(
    model: Model,
    corpus: Corpus,
    root: Root,
    out: Out,
    untranscribed: Annotated[
        Path | None, typer.Option(help="audio of any language to learn from too; or a folder that `prepare` made")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="of a prepared folder: only the clips that this split trains on")
    ] = None,
    set_: Set = [],
) -> None:
    """A neural acoustic model from a stage's alignment, for speech unlike the transcribed: noisy, coded, running, foreign."""
    from isogloss.stages.phone_bootstrap import bootstrap

    config = override(BootstrapConfig(), set_)
    wrote(bootstrap(_items(corpus, root), model, out, config, untranscribed, split))


@app.command(epilog=epilog(DecodeConfig, "adapt"))
def align(model: Model, corpus: Corpus, root: Root, out: Out, lexicon: Lexicon, set_: Set = []) -> None:
    """Transcribed speech → phone times (OUT/phones.ctm) and pdf-ids (OUT/pdf_ids)."""
    from isogloss.stages.phone_recognition import align_phones

    items = _items(corpus, root)
    wrote(align_phones(items, _lexicon(lexicon, items), model, out, override(DecodeConfig(), set_)))


@app.command(epilog=epilog(DecodeConfig))
def decode(
    model: Model,
    source: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="audio files, or a folder, table, Kaldi directory")
    ],
    out: Annotated[Path, typer.Option(help="folder to write")],
    set_: Set = [],
) -> None:
    """Any audio of any language → phones with times (OUT/phones.ctm) and pdf-ids (OUT/pdf_ids). MODEL may be pocketsphinx."""
    from isogloss.stages.phone_decoding import decode_phones

    one = source[0] if len(source) == 1 else source
    wrote(decode_phones(one, model, out, override(DecodeConfig(), set_)))


@app.command(epilog=epilog(DecodeConfig, "beam", "max_active", "adapt"))
def score(
    model: Model,
    corpus: Corpus,
    root: Root,
    out: Out,
    lexicon: Lexicon,
    json_out: Annotated[Path | None, typer.Option("--json", help="file to write; default: print")] = None,
    set_: Set = [],
) -> None:
    """Phone error rate on the utterances for testing (column split or use: test), in per cent."""
    from isogloss.stages.ledger import json_text, write_json
    from isogloss.stages.phone_recognition import score_phones

    items = _items(corpus, root, use="test")
    figures = score_phones(items, _lexicon(lexicon, items), model, out, override(DecodeConfig(), set_))
    if json_out is None:
        print(json_text(figures))
    else:
        write_json(json_out, figures)
        wrote(json_out)


@app.command(epilog=epilog(PhonesConfig))
def label(
    prepared: Prepared,
    frames: Frames,
    out: Out,
    source: Annotated[
        str, typer.Option(help="gmm, kaldi (imported), espeak, teacher or pocketsphinx")
    ] = "pocketsphinx",
    set_: Set = [],
) -> None:
    """Labels of a corpus for language recognition: one pdf-id for every voiced frame, beside the frames."""
    from isogloss.stages.phones import phones

    wrote(phones(prepared, frames, out, override(PhonesConfig(), [f"source={source}", *set_])))


@app.command()
def stats(
    labels: Annotated[
        list[Path], typer.Argument(help="label stores, folders of `phones decode` or `align`, npz, ark, CTM")
    ],
    prepared: Annotated[
        Path | None,
        typer.Option(help="a prepared corpus with folds: also how well the phones alone tell its languages"),
    ] = None,
) -> None:
    """Entropy, occupancy and run lengths of label sources, and how far they agree (V-measure), as JSON."""
    from isogloss.stages.ledger import json_text
    from isogloss.stages.phone_diagnostics import compare_labels, language_accuracies

    figures = compare_labels(labels)
    if prepared is not None:
        figures["phone_sequences"] = language_accuracies([path for path in labels if _has_phones(path)], prepared)
    print(json_text(figures))


@app.command()
def picture(
    audio: Annotated[Path, typer.Argument(help="an audio file")],
    out: Annotated[Path, typer.Argument(help="PNG to write")],
    labels: Annotated[
        list[Path], typer.Option("--labels", help="a CTM, or folder of `phones decode`; may be repeated")
    ],
    utterance: Annotated[str | None, typer.Option(help="its name in the labels; default: the file's own")] = None,
) -> None:
    """An utterance's labels over its spectrogram, one strip for each source."""
    from isogloss.stages.phone_diagnostics import draw_labels

    wrote(draw_labels(audio, labels, out, utterance))


def _has_phones(path: Path) -> bool:
    return path.suffix == ".ctm" or (path / "phones.ctm").exists()


def _items(corpus: str, root: Path, use: Literal["train", "test"] = "train") -> list[Any]:
    """`use`: what a Kaldi directory is for, which does not say so itself."""
    from isogloss.corpora import thchs30, transcribed

    readers = {
        "table": transcribed.table,
        "kaldi": lambda folder: transcribed.kaldi_dir(folder, use),
        "audio-cmn": transcribed.audio_cmn,
        "thchs30": lambda folder: [*thchs30.items(folder, "train"), *thchs30.items(folder, "test")],
    }
    if corpus not in readers:
        raise IsoglossError(f"unknown kind of transcribed corpus {corpus!r}; expected {', '.join(readers)}")
    return readers[corpus](root)  # type: ignore[no-any-return, operator]


def _lexicon(name: str, items: list[Any]) -> Any:
    from isogloss.phones import lexicon
    from isogloss.phones.pinyin import pinyin_lexicon

    makers = {
        "pinyin": pinyin_lexicon,
        "pinyin-toneless": lambda words: lexicon.without_digits(pinyin_lexicon(words)),
        "graphemes": lexicon.grapheme_lexicon,
        "symbols": lexicon.symbol_lexicon,
    }
    if name in makers:
        return makers[name](item.words for item in items)
    return lexicon.read_lexicon(Path(name))
