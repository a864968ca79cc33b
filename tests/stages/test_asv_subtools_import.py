"""A checkpoint of ASV-Subtools becomes a model folder that embeds, and exports, as the toolkit's own module does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from asv_subtools_module import baseline
from typer.testing import CliRunner

from isogloss.cli import app
from isogloss.nn import Embedder
from isogloss.stages.asv_subtools import import_asv_subtools
from isogloss.stages.ledger import made_from
from isogloss.stages.pack import to_onnx
from isogloss.training import trained
from isogloss.types import IsoglossError

LANGUAGES = ["ja", "ko", "vi"]


@pytest.fixture
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return baseline().MultiTaskXvector(23, 3, 7, 16, round(1500 * 16 / 512)).eval()


@pytest.fixture
def checkpoint(module: torch.nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "21.params"
    torch.save(module.state_dict(), path)
    return path


def test_the_folder_embeds_and_scores_as_the_toolkit(module: torch.nn.Module, checkpoint: Path, tmp_path: Path) -> None:
    names = tmp_path / "languages"
    names.write_text("\n".join(LANGUAGES) + "\n")
    out = tmp_path / "model"
    command = ["import", "asv-subtools", str(checkpoint), str(out), "--languages", str(names)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output

    model = trained.load(out)
    assert model.info.languages == LANGUAGES and model.info.num_pdfs == 7 and model.info.system["multitask"]
    frames = np.random.default_rng(0).standard_normal((50, 23)).astype(np.float32)
    far, near = trained.embed(model, frames)
    x = torch.from_numpy(frames.T.copy())[None]
    with torch.no_grad():
        theirs = {kind: module.extract_embedding(x, kind) for kind in ("far", "near")}
        logits = module.loss_spk.affine(theirs["near"].unsqueeze(2)).squeeze(2)
    np.testing.assert_allclose(far, theirs["far"][0].numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(near, theirs["near"][0].numpy(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.head.logits(torch.from_numpy(near)[None]), logits, rtol=1e-5, atol=1e-5)
    assert to_onnx(Embedder(model.network).eval(), 23)
    assert made_from(out)  # what the next stages ask of their input


def test_languages_and_front_end_must_be_the_networks(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(IsoglossError, match="2 languages for an output layer of 3 classes"):
        import_asv_subtools(checkpoint, out, ["ja", "ko"])
    result = CliRunner().invoke(
        app, ["import", "asv-subtools", str(checkpoint), str(out), "--languages", "ja,ko,vi", "--set", "pitch=false"]
    )
    assert isinstance(result.exception, IsoglossError)
    assert "takes 23 dimensions, the front end makes 20" in str(result.exception)
    assert not out.exists()


def test_what_is_no_state_dict_is_an_error(tmp_path: Path) -> None:
    junk = tmp_path / "junk.params"
    junk.write_bytes(b"not a checkpoint")
    with pytest.raises(IsoglossError, match="no file of tensors"):
        import_asv_subtools(junk, tmp_path / "model", LANGUAGES)
    torch.save([1, 2], junk)
    with pytest.raises(IsoglossError, match="no state dict"):
        import_asv_subtools(junk, tmp_path / "model", LANGUAGES)
    with pytest.raises(IsoglossError, match="is no file"):
        import_asv_subtools(tmp_path / "none", tmp_path / "model", LANGUAGES)
