"""A figure as files and as a part of a page."""

import io
import re
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regbench.drawing.style import INK, PAPER, RULE


@dataclass(frozen=True)
class RenderedFigure:
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


def render(name: str, caption: str, figure: Figure) -> RenderedFigure:
    """The figure in both formats, without the clock or the machine in them, so that the same data gives same bytes."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # Laid out once: the second format takes the first one's places, without the pass that `savefig` makes for them.
    figure.set_layout_engine("none")
    figure.set_dpi(160)
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]  # Matplotlib's
    return RenderedFigure(name, caption, svg.getvalue(), png.getvalue())
