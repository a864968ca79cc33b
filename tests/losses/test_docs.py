"""docs/losses.md: its examples run, its numbers are those of the code."""

import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from isogloss.losses import HEADS, PRESETS
from isogloss.losses.boundary import Boundary, shifted_cosine
from isogloss.losses.margins import Normalise, PhonemeAwareMargin, Statistic

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran() -> dict[str, Any]:
    """What the page's examples, one after the other, leave behind."""
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(example, names)
    return names


def test_the_examples_run_and_train(ran: dict[str, Any]) -> None:
    assert all(state["step"] == 1 for state in ran["optimiser"].state_dict()["state"].values())
    assert len(ran["optimiser"].state_dict()["state"]) == len([*ran["encoder"].parameters()]) + 2 + 1
    assert int(ran["grows"].step) == 1 and ran["three"].weight.shape == (30, 512)


def test_the_example_for_speakers_has_ten_lines() -> None:
    example = next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "speakers" in text)
    assert len([line for line in example.splitlines() if not line.startswith("import")]) == 10


def test_every_option_stands_on_the_page() -> None:
    for name in (*get_args(Statistic), *get_args(Normalise), *get_args(Boundary), *PRESETS):
        assert f"`{name}" in PAGE, name
    for head in HEADS.values():
        assert f"`{head.__name__}`" in PAGE


def test_the_table_of_boundaries_is_computed() -> None:
    angles = [float(angle) for angle in re.findall(r"(\d+)°", next(x for x in PAGE.splitlines() if "θ = 0°" in x))]
    rows = re.findall(r"^\| (0\.5|1\.5) \| `(\w+)`.*?\|((?: [+-]\d\.\d\d \|)+)$", PAGE, re.MULTILINE)
    assert len(rows) == 2 * len(get_args(Boundary))
    for margin, boundary, cells in rows:
        cosine = torch.tensor([math.cos(math.radians(angle)) for angle in angles], dtype=torch.float64)
        found = shifted_cosine(cosine, torch.full_like(cosine, float(margin)), boundary)
        assert [float(cell) for cell in cells.split("|")[:-1]] == pytest.approx(found.tolist(), abs=0.0051)


@pytest.mark.parametrize(
    ("preset", "batch", "mean"),
    [
        ("literal_scaled", 1, 0.02),
        ("literal_scaled", 64, 0.02),
        ("paper", 1, 10),
        ("paper", 64, 0.16),
        ("paper", 512, 0.02),
    ],
)
def test_the_mean_margins_of_the_presets(preset: str, batch: int, mean: float) -> None:
    margin = PhonemeAwareMargin(0.2, 10.0, **PRESETS[preset])
    assert float(margin(torch.randn(batch, 3, 4)).beta_p.mean()) == pytest.approx(mean, rel=0.03)
