"""The generated pages of the documentation are as the code is."""

from tests.support.porting import layers_page


def test_page_of_layers_is_current():
    found = layers_page.PAGE.read_text(encoding="utf-8")
    assert found == layers_page.page(), "run python -m tests.support.porting.layers_page"
