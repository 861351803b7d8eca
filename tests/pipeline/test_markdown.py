"""A table stays a table, whatever its cells hold."""

from pipeline.markdown import table


def test_heads_rows_and_what_would_end_a_cell():
    text = table(("a", "b"), [(1, "x|y"), ("z", "two\nlines")])
    assert text == "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n| z | two lines |\n"
    assert table(["a"], []) == "| a |\n| --- |\n"
