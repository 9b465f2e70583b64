"""How every figure looks: a colour for each setting, the type and the lines.

The first eight colours follow Okabe and Ito's palette for all kinds of colour vision (M. Okabe, K. Ito, "Color
Universal Design", 2008), its black and yellow replaced by a grey and an olive that are seen on white and on black
paper. The other techniques get relatives, and every setting has a marker and a dash of its own besides, so that no
reading depends on colour alone.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from regbench.drawing.series import name_entries, series_name

INK = "#1f2429"
PAPER = "#fffffe"
RULE = "#d9dde2"
FAINT = "#8b949e"

KNOWN = {
    "none": "#77808a",
    "batchnorm": "#0072b2",
    "dropout": "#d55e00",
    "weight_decay": "#009e73",
    "label_smoothing": "#cc79a7",
    "augmentation": "#e69f00",
    "layernorm": "#56b4e9",
    "l1": "#8a8b00",
    "mixup": "#9d6fd1",
    "cutout": "#b0446f",
    "gaussian_noise": "#a6761d",
    "confidence_penalty": "#b222bb",
    "dropconnect": "#df1034",
    "elastic_net": "#a0a98e",
    "gradient_clipping": "#7346f1",
    "max_norm": "#107c10",
    "orthogonality": "#bb97f1",
    "sam": "#f161f1",
    "spatial_dropout": "#f18e7c",
    "early_stopping": "#4f7fd6",
    "ema": "#5fa83b",
    "stochastic_weight_averaging": "#f12b8e",
}
_MARKERS = "osD^vPX<>phd*8"
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.color": INK,
    # A setting called "$\frac{" is a name, not a formula.
    "text.parse_math": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "image.composite_image": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "regbench",
}


@dataclass(frozen=True)
class SettingStyle:
    """What stands for one setting in every figure."""

    color: str
    marker: str
    dash: Any


def setting_styles(labels: Sequence[str]) -> dict[str, SettingStyle]:
    """Return a style for every label, the same for the same labels in the same order.

    A label's first word is its technique: known techniques keep their colour in every study, several strengths of one
    technique get shades of it from light to dark, and all others take what is free.
    """
    families: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        families.setdefault(label.split(" ")[0], []).append(label)
    free = [color for name, color in KNOWN.items() if name not in families] or list(KNOWN.values())
    found: dict[str, SettingStyle] = {}
    strangers = 0
    for number, (family, members) in enumerate(families.items()):
        color = KNOWN.get(family, free[strangers % len(free)])
        strangers += family not in KNOWN
        for step, label in enumerate(members):
            shade = _shade(color, step, len(members))
            found[label] = SettingStyle(shade, _MARKERS[(number + step) % len(_MARKERS)], _DASHES[(number + step) % 4])
    return {label: found[label] for label in dict.fromkeys(labels)}


@contextmanager
def figure_style() -> Iterator[None]:
    """Set Matplotlib to this style for as long as the block lasts; the user's own settings come back after it."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # A name in a script that the type lacks shows boxes in the PNG and letters in the SVG; that stops no report.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


class StyledAxes(Axes):
    """A panel whose title stays in its place and its type when its words are changed, outside of `figure_style` too."""

    def set_title(self, label: str, *arguments: Any, **options: Any) -> Text:
        """Set the title as `Axes` does, at the left unless `loc` says otherwise."""
        with figure_style():
            return super().set_title(label, *arguments, **options)


class ShownFigure(Figure):
    """A figure that notebooks show by itself: pyplot, which would keep every one of them, has not made it."""

    def add_subplot(self, *arguments: Any, **options: Any) -> Axes:
        """Add a panel as `Figure` does, one of `StyledAxes`."""
        panel: Axes = super().add_subplot(*arguments, **{"axes_class": StyledAxes, **options})
        return panel

    def _repr_png_(self) -> bytes:
        """Return the picture that IPython shows."""
        picture = io.BytesIO()
        with figure_style():
            self.savefig(picture, format="png", dpi=120)
        return picture.getvalue()


def new_figure(width: float = 4.3, height: float = 3.1) -> tuple[Figure, Axes]:
    """An empty figure of one panel, in inches; 4.3 wide stays readable when a phone shrinks it to its screen."""
    figure = ShownFigure((width, height), layout="constrained")
    return figure, figure.subplots()


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend under the panel, where it hides nothing, in as many columns as its longest name allows."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    widest = max(len(label) for label in labels)
    most = max(1, min(len(labels), 58 // (widest + 6)))
    # As many columns as make the rows even: four names stand two by two, not three and one.
    columns = -(-len(labels) // -(-len(labels) // most))
    # The panel keeps its height: every row of the legend past the second makes the figure taller.
    figure.set_figheight(figure.get_figheight() + 0.17 * max(0, -(-len(labels) // columns) - 2))
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.4
    )
    name_entries(legend, handles)


def shorten(text: object, limit: int = 34) -> str:
    """A name as a figure can show it: one line, printable, cut in its middle past ``limit`` characters."""
    line = series_name(text)
    head = limit * 2 // 3
    return line if len(line) <= limit else f"{line[:head]}…{line[head + 1 - limit :]}"


def _shade(color: str, step: int, count: int) -> str:
    """Shade ``step`` of ``count`` from light to dark; the only one keeps its colour."""
    if count == 1:
        return color
    toward = 0.5 - step / (count - 1)
    target = 1.0 if toward > 0 else 0.0
    share = abs(toward) * (1.0 if toward > 0 else 0.8)
    red, green, blue = (channel + (target - channel) * share for channel in to_rgb(color))
    return to_hex((red, green, blue))
