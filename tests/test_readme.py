"""The README says what the program has: its tables are those that the registries give."""

from __future__ import annotations

import pytest

from detectors.score_names import FAMILIES
from tests.readme_tables import ROOT, TABLES, filled


@pytest.mark.parametrize("file", TABLES)
def test_tables_are_made_from_the_registries(file):
    text = (ROOT / file).read_text()
    assert filled(text, file) == text, "run `make docs`"


def test_a_readme_without_markers_is_no_success():
    with pytest.raises(ValueError, match="lacks the markers"):
        filled("nothing here", "README.md")


def test_a_name_stands_in_one_family_and_says_which_way_is_worse():
    names = [name for family in FAMILIES.values() for name in family]
    assert len(names) == len(set(names))
    assert {doc.worse for family in FAMILIES.values() for doc in family.values()} <= {"above", "below", ""}
