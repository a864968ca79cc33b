import numpy as np
import pytest

from isogloss.phones.segments import Inventory, segments_to_labels
from isogloss.types import IGNORE_PDF, IsoglossError

AB = Inventory(["a", "b"], states=1)


def test_a_frame_takes_the_phone_its_centre_falls_in():
    labels = segments_to_labels([("a", 0.0, 0.05), ("b", 0.05, 0.08)], 10, AB)
    centres = [0.01 * t + 0.0125 for t in range(10)]
    expected = [0 if c < 0.05 else 1 if c < 0.08 else IGNORE_PDF for c in centres]
    assert labels.tolist() == expected


def test_states_divide_a_segment_equally_and_in_order():
    labels = segments_to_labels([("b", 0.0, 0.30)], 30, Inventory(["a", "b"], states=3))
    labelled = labels[labels != IGNORE_PDF]
    assert (np.diff(labelled) >= 0).all()
    assert np.bincount(labelled, minlength=6)[3:].tolist() == [9, 10, 10]  # the first centre is at 12.5 ms


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_speed_copy_has_the_same_phones_at_scaled_times(speed):
    segments = [("a", 0.0, 1.0), ("b", 1.0, 2.0)]
    labels = segments_to_labels(segments, int(200 / speed), AB, speed)
    change = int(np.argmax(labels == 1))
    assert abs((change * 0.01 + 0.0125) - 1.0 / speed) <= 0.01


def test_a_strange_symbol_is_an_error():
    with pytest.raises(IsoglossError, match="phone 'c' is not in the inventory"):
        segments_to_labels([("c", 0, 1)], 10, AB)


def test_pdf_names_count_states_of_phones():
    assert Inventory(["a", "b"], 2).pdf_names() == ["a:0", "a:1", "b:0", "b:1"]
    assert Inventory(["a", "b"], 2).num_pdfs == 4
