"""A drawn figure, as it is, as files and as a part of a page."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regbench.drawing.series import named_series, series_name
from regbench.drawing.style import figure_style
from regbench.study.figures.inlined import inline_svg


@dataclass(frozen=True)
class Value:
    """A place in a figure and what is drawn there, which a page shows to whoever points at it.

    Attributes:
        axes: The panel.
        x: The place on its axis.
        y: The same upwards.
        text: The value in words, such as `epoch 3: 89.12 ± 0.20`.
        series: The setting or split whose value it is, empty where there is none.
    """

    axes: Axes
    x: float
    y: float
    text: str
    series: str = ""


@dataclass(frozen=True)
class DrawnFigure:
    """One drawn figure: its file's stem, its description in a sentence, and Matplotlib's object, which may be changed.

    Its files are made when they are first asked for. `values` are the places that a page tells of, and `series` is the
    setting that the whole figure is of, empty where it shows several.
    """

    name: str
    caption: str
    figure: Figure
    values: Sequence[Value] = ()
    series: str = ""

    @property
    def svg(self) -> str:
        """The figure as SVG."""
        return self._files[0]

    @property
    def png(self) -> bytes:
        """The figure as PNG."""
        return self._files[1]

    @property
    def title(self) -> str:
        """The caption's first sentence, which names the picture to those who do not see it."""
        return self.caption.partition(". ")[0].rstrip(".")

    @property
    def is_tall(self) -> bool:
        """Whether it is much higher than wide, as figures of many settings are."""
        width, height = self.figure.get_size_inches()
        return bool(height > 1.5 * width)

    def inline(self) -> str:
        """The SVG for a page: its ids made unique to this figure, its ink and paper left to the page's colours."""
        told = f'role="img" aria-label="{escape(self.title)}"{self._told_values()}'
        return inline_svg(self.svg, self.name.replace("/", "-"), told)

    def _told_values(self) -> str:
        """The values as an attribute: the series in the first line, then a line each of x, y, series and text."""
        # Places are known once the figure is laid out, which rendering does.
        width, height = 72 * self.figure.get_size_inches() if self.svg else (0.0, 0.0)
        into_figure = self.figure.transFigure.inverted()
        series = list(dict.fromkeys(series_name(each.series) for each in self.values))
        lines = []
        for value in self.values:
            if not np.isfinite([value.x, value.y]).all() or not value.axes.viewLim.contains(value.x, value.y):
                continue
            x, y = into_figure.transform(value.axes.transData.transform((value.x, value.y)))
            place = f"{width * x:.1f}\t{height * (1 - y):.1f}"
            lines.append(f"{place}\t{series.index(series_name(value.series))}\t{series_name(value.text)}")
        return f' data-values="{escape(chr(10).join([chr(9).join(series), *lines]))}"' if lines else ""

    @cached_property
    def _files(self) -> tuple[str, bytes]:
        """SVG and PNG without the clock or the machine in them, so that the same data gives the same bytes."""
        svg, png = io.StringIO(), io.BytesIO()
        with figure_style():
            self.figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
            # Laid out once: the second format takes the first one's places, without `savefig`'s pass that makes them.
            self.figure.set_layout_engine("none")
            self.figure.set_dpi(160)
            FigureCanvasAgg(self.figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]  # Matplotlib's
        return named_series(svg.getvalue()), png.getvalue()
