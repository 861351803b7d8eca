"""A page: places in inches from the top, whatever its height becomes."""

import pytest

from naflow import plot
from pipeline.figures.page import LARGE, WIDTH, Page, publish


def test_places_are_inches_from_the_upper_left_corner():
    page = Page()
    ax = page.axes(1, 0.5, 2, 1)
    page.text(3, 2, "here")
    figure = page.ended(4)
    assert tuple(figure.get_size_inches()) == (WIDTH, 4)
    left, low, width, height = ax.get_position().bounds
    assert (left * WIDTH, width * WIDTH) == pytest.approx((1, 2))
    assert (4 - (low + height) * 4, height * 4) == pytest.approx((0.5, 1))
    assert figure.texts[0].get_position() == pytest.approx((3 / WIDTH, 0.5))


def test_coordinates_of_a_place_in_inches_go_down():
    page = Page()
    ax = page.inches(1, 1, 2, 1)
    figure = page.ended(3)
    figure.canvas.draw()
    x, y = ax.transData.transform((0.5, 0.25)) / figure.dpi
    assert (x, y) == pytest.approx((1.5, 3 - 1.25))


def test_paragraphs_are_broken_to_their_width_and_tell_where_they_end():
    page = Page()
    words = "one of the longer sentences that a caption may hold, twice over and then some more"
    end = page.paragraph(0.1, 0.2, 1.5, words)
    figure = page.ended(2)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.texts]
    assert len(boxes) > 2
    assert " ".join(text.get_text() for text in figure.texts) == words
    for box in boxes:
        assert box.width / figure.dpi < 1.5 * 1.05
    assert 2 - boxes[-1].y0 / figure.dpi <= end + 0.02
    assert page.paragraph(0, 0, 1, "") == 0


@pytest.mark.parametrize(
    "words",
    [
        "decided White breasted Kingfisher, wrong",
        "decided Red headed Woodpecker, wrong",
        "decided Bronzed Cowbird, right",
        "decided American Staffordshire terrier, right",
    ],
)
def test_long_bold_names_stay_within_their_width(words):
    page = Page()
    page.paragraph(0.1, 0.1, 1.41, words, LARGE, fontweight="bold")
    figure = page.ended(1)
    figure.canvas.draw()
    assert " ".join(text.get_text() for text in figure.texts) == words
    for text in figure.texts:
        assert text.get_window_extent().width / figure.dpi < 1.41 * 1.05


def test_a_figure_that_cannot_be_finished_leaves_what_was_there(tmp_path, monkeypatch):
    def fails(figure, path, dpi):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    publish(Page().ended(1), tmp_path / "a")
    whole = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert sorted(whole) == ["a.pdf", "a.png"]
    monkeypatch.setattr(plot, "save", fails)
    with pytest.raises(OSError, match=r"a\.png"):
        publish(Page().ended(1), tmp_path / "a")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == whole
