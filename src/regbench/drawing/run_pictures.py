"""The pictures of a run that TensorBoard shows, as pixels: tiles of images, and what a network makes of a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regbench.drawing.confusion import confusion_matrix
from regbench.drawing.pictures import visible
from regbench.drawing.reliability import Calibration, bin_by_confidence, calibration_error, reliability_diagram
from regbench.drawing.style import SettingStyle, figure_style

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_COLUMNS = 8
# TensorBoard shows an image 350 pixels wide and takes the nearest pixel: twice as many are right for any screen.
_SHOWN_WIDTH = 2 * 350


def draw_tiles(images: np.ndarray[Any, Any], captions: Sequence[str]) -> Pixels:
    """Draw images `(N, S, S, C)` as `tiles` does."""
    return _drawn(tiles(images, captions))


def draw_predictions(
    classes: Sequence[str],
    counts: np.ndarray[Any, Any],
    confidence: np.ndarray[Any, Any],
    right: np.ndarray[Any, Any],
    mistakes: np.ndarray[Any, Any],
    captions: Sequence[str],
) -> dict[str, Pixels]:
    """Draw mistakes, where there are any, the confusion matrix and the reliability diagram, by these names.

    Args:
        classes: Their names, C.
        counts: Images of each class by answer, `(C, C)`.
        confidence: Of each answer, `(N,)`.
        right: Whether it is right, `(N,)`.
        mistakes: The images to show, `(M, S, S, C)`.
        captions: Theirs.
    """
    drawn = {"mistakes": draw_tiles(mistakes, captions)} if len(mistakes) else {}
    bins = bin_by_confidence(confidence, right)
    found = {"test images": Calibration(bins, calibration_error(bins))}
    styles = {"test images": SettingStyle("#0072b2", "o", "-")}
    with figure_style():
        matrix = confusion_matrix(counts, classes, "Answers to test images, % of the class")
        drawn["confusion"] = _drawn(_square(matrix), _SHOWN_WIDTH)
        drawn["reliability"] = _drawn(_placed(reliability_diagram(found, styles, counts=True)), _SHOWN_WIDTH)
    return drawn


def tiles(images: np.ndarray[Any, Any], captions: Sequence[str]) -> Figure:
    """Arrange images `(N, S, S, C)` in [0, 1], eight a row, each with its caption of up to three lines beneath."""
    count, side = len(images), images.shape[1]
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    height, width, margin = side * (1.05 + 0.15 * lines), side * 1.12, round(0.06 * side)
    pictures = [visible(image) for image in images]
    sheet = np.ones((margin + round(rows * height), round(columns * width), *pictures[0].shape[2:]))
    figure = Figure((1.15 * columns, 1.15 / width * len(sheet)), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (image, caption) in enumerate(zip(pictures, captions, strict=True)):
        top, left = margin + round(number // columns * height), round((number % columns + 0.05) * width)
        sheet[top : top + side, left : left + side] = image
        axes.text(left, top + side * 1.03, caption, fontsize=7.5, va="top", linespacing=1.1, parse_math=False)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def halvable(pixels: Pixels) -> Pixels:
    """Average each pixel of an image `(H, W, C)` with its neighbours right and below, to the nearest multiple of 5.

    So to take every second pixel is to average four, wherever one begins. With fewer tones the file is no larger.
    """
    padded = np.pad(pixels.astype(np.uint16), ((0, 1), (0, 1), (0, 0)), mode="edge")
    sums = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
    means: Pixels = ((sums + 10) // 20 * 5).astype(np.uint8)
    return means


def _square(figure: Figure) -> Figure:
    """Give a confusion matrix the room that its classes' names need, and no more."""
    (axes,) = figure.axes
    longest = max((len(label.get_text()) for label in axes.get_yticklabels()), default=0)
    width = figure.get_figwidth()
    # In inches; letters are some 0.07 wide, and those below lie aslant.
    left, right, top = 0.4 + 0.07 * longest, 0.1, 0.35
    bottom = 0.4 + 0.05 * (longest if longest > 2 else 0)
    side = width - left - right
    figure.set_figheight(height := top + side + bottom)
    figure.set_layout_engine(None)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    axes.set_title(axes.get_title(loc="left"), x=(0.1 - left) / side)  # from the figure's edge on
    return figure


def _placed(figure: Figure) -> Figure:
    """Give a figure fixed margins: finding the best ones costs more than all of its drawing, in every run."""
    figure.set_layout_engine(None)
    figure.subplots_adjust(left=0.17, right=0.97, bottom=0.2, top=0.94, hspace=0.1)
    return figure


def _drawn(figure: Figure, width: int | None = None) -> Pixels:
    """Draw a figure; if a width in pixels is given, so that every second pixel of it alone is as smooth as all."""
    if width is not None:
        figure.set_dpi(width / figure.get_figwidth())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # no types
    pixels: Pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]  # no types
    return pixels.copy() if width is None else halvable(pixels)
