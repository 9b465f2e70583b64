import numpy as np
import pytest

from regbench.drawing.confusion import confusion_matrix, most_confused, row_shares
from regbench.drawing.style import figure_style


def test_each_cell_tells_the_percent_of_its_class() -> None:
    counts = np.array([[3, 1, 0], [0, 400, 1], [0, 0, 0]])
    with figure_style():
        (axes,) = confusion_matrix(counts, ["a", "$b^", "a class of a long name"], "title").axes
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found == {(0, 0): "75", (1, 0): "25", (1, 1): "100", (2, 1): "·"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "$b^", "a class o…name"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "class")


def test_right_answers_are_blue_and_mistakes_red_by_their_share() -> None:
    with figure_style():
        (axes,) = confusion_matrix(np.array([[8, 2], [1, 9]]), ["a", "b"], "title").axes
    cells = np.asarray(axes.images[0].get_array())
    assert (cells[[0, 1], [0, 1], 2] > cells[[0, 1], [0, 1], 0]).all()
    assert (cells[[0, 1], [1, 0], 0] > cells[[0, 1], [1, 0], 2]).all()
    assert cells[0, 1, 3] > cells[1, 0, 3] > 0


def test_matrices_beside_each_other_share_a_scale() -> None:
    weak, strong = np.array([[9, 1], [0, 10]]), np.array([[6, 4], [0, 10]])
    assert most_confused(strong) == 40
    shades = []
    for counts in (weak, strong):
        with figure_style():
            (axes,) = confusion_matrix(counts, ["a", "b"], "title", most_confused(strong)).axes
        shades.append(np.asarray(axes.images[0].get_array())[0, 1, 3])
    # The shade is the root of the share of the strongest: √(10 / 40) of it.
    assert shades[0] == pytest.approx(shades[1] / 2)


def test_a_hundred_classes_are_drawn_without_names() -> None:
    with figure_style():
        (axes,) = confusion_matrix(np.eye(100, dtype=int) * 10, [f"class {n}" for n in range(100)], "title").axes
    assert not axes.texts
    assert "class 7" not in [label.get_text() for label in axes.get_yticklabels()]


def test_a_class_without_images_has_no_shares() -> None:
    assert row_shares(np.array([[2, 2], [0, 0]])).tolist() == [[0.5, 0.5], [0, 0]]
