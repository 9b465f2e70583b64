"""How every figure looks: a colour for each setting, the house's type and lines, and the way to files and pages.

The first eight colours follow Okabe and Ito's palette for all kinds of colour vision (M. Okabe, K. Ito, "Color
Universal Design", 2008), its black and yellow replaced by a grey and an olive that are seen on white and on black
paper. The other techniques get relatives, and every setting has a marker and a dash of its own besides, so that no
reading depends on colour alone.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

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
    "elastic_net": "#44aa99",
    "mixup": "#9d6fd1",
    "cutout": "#b0446f",
    "gaussian_noise": "#a6761d",
    "early_stopping": "#4f7fd6",
    "weight_averaging": "#5fa83b",
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
class Look:
    """What stands for one setting in every figure."""

    color: str
    marker: str
    dash: Any


@dataclass(frozen=True)
class Picture:
    """One drawn figure: its file's stem, its description in a sentence, and both formats."""

    name: str
    caption: str
    svg: str
    png: bytes

    def inline(self) -> str:
        """The SVG for a page: its ids made unique to this figure, its ink and paper left to the page's colours."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<\?.*?\?>|<!DOCTYPE.*?>", "", body, flags=re.S)
        body = re.sub(r' width="[^"]*pt" height="[^"]*pt"', "", body, count=1)
        body = re.sub(r"(font-family|font): [^;\"]*'DejaVu Sans'[^;\"]*;? ?", "", body)
        used = set(re.findall(r'(?:url\(|href=")#([^")]+)', body))
        body = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", body)
        body = re.sub(r'(url\(#|href="#| id=")(?=[^"])', rf"\g<1>{self.name.replace('/', '-')}-", body)
        body = body.replace(PAPER, "var(--paper)").replace(INK, "currentColor").replace(RULE, "var(--rule)")
        return re.sub(r"\n\s*", "\n", body)


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A look for every label, the same for the same labels in the same order.

    A label's first word is its technique: known techniques keep their colour in every study, several strengths of one
    technique get shades of it from light to dark, and all others take what is free.
    """
    families: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        families.setdefault(label.split(" ")[0], []).append(label)
    free = [color for name, color in KNOWN.items() if name not in families] or list(KNOWN.values())
    found: dict[str, Look] = {}
    strangers = 0
    for number, (family, members) in enumerate(families.items()):
        color = KNOWN.get(family, free[strangers % len(free)])
        strangers += family not in KNOWN
        for step, label in enumerate(members):
            shade = _shade(color, step, len(members))
            found[label] = Look(shade, _MARKERS[(number + step) % len(_MARKERS)], _DASHES[(number + step) % 4])
    return {label: found[label] for label in dict.fromkeys(labels)}


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib in the house's style, for as long as the block lasts; the user's own settings come back after it."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # A name in a script that the type lacks shows boxes in the PNG and its letters in the SVG; the report goes on.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def canvas(width: float = 4.3, height: float = 3.1) -> tuple[Figure, Axes]:
    """An empty figure of one panel, in inches; 4.3 wide stays readable when a phone shrinks it to its screen."""
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()


def picture(name: str, caption: str, figure: Figure) -> Picture:
    """The figure in both formats, without the clock or the machine in them, so that the same data gives same bytes."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # Laid out once: the second format takes the first one's places.
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Picture(name, caption, svg.getvalue(), png.getvalue())


def words(text: object, limit: int = 34) -> str:
    """A name as a figure can show it: one line, printable, cut in its middle past ``limit`` characters."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))
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
