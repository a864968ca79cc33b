import pytest

from isogloss.phones.pdf_names import phones_of_pdfs
from isogloss.phones.segments import Inventory


@pytest.mark.parametrize(
    ("name", "phone"),
    [
        ("zh:2", "zh"),
        ("a1:0|a4:0", "a"),
        ("a1:0|o2:0", "a|o"),
        ("u12:0", "u12"),
        ("7:1", "7"),
        ("AH0_B+AH1_I:0+2 (17)", "AH"),
        ("a1+b+c+…:1 (3)", "a|b|c"),
        ("sil:4", "sil"),
    ],
)
def test_the_base_phone_of_a_name(name, phone):
    assert phones_of_pdfs([name]) == [phone]


def test_names_of_an_inventory_have_phones_and_bare_numbers_none():
    assert phones_of_pdfs(Inventory(["a:", "n"], 2).pdf_names()) == ["a:", "a:", "n", "n"]
    assert phones_of_pdfs(["zh:0", "pdf 1"]) is None
