"""A drawn figure, as it is, as files and as a part of a page."""

import io
import re
from dataclasses import dataclass
from functools import cached_property

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regbench.drawing.style import INK, PAPER, RULE, figure_style


@dataclass(frozen=True)
class DrawnFigure:
    """One drawn figure: its file's stem, its description in a sentence, and Matplotlib's object, which may be changed.

    Its files are made when they are first asked for.
    """

    name: str
    caption: str
    figure: Figure

    @property
    def svg(self) -> str:
        """The figure as SVG."""
        return self._files[0]

    @property
    def png(self) -> bytes:
        """The figure as PNG."""
        return self._files[1]

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
        return svg.getvalue(), png.getvalue()
