from nas.html import html_table


def test_caption_columns_and_cells_are_text():
    assert html_table("<a>", ["&"], [["<td>"], [3]]) == (
        "<table><caption>&lt;a&gt;</caption><tr><th>&amp;</th></tr><tr><td>&lt;td&gt;</td></tr><tr><td>3</td></tr></table>"
    )
