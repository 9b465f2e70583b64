"""How blocks of figures are put together, so that no half of a page stays empty."""

from collections.abc import Sequence
from dataclasses import replace

from regbench.study.report.page import Block


def gather_tall(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with every tall figure that stood alone beside the first tall ones.

    Args:
        blocks: In the page's order.
    """
    lone = [block for block in blocks if len(block.figures) == 1 and not block.tables and block.figures[0].is_tall]
    tall = [block for block in blocks if block.figures and block.figures[0].is_tall and len(block.figures) < 3]
    if not lone or len(tall) < 2:
        return list(blocks)
    first, rest = tall[0], [block for block in lone if block is not tall[0]]
    joined = replace(
        first,
        title=", ".join([first.title, *(f"{block.title[:1].lower()}{block.title[1:]}" for block in rest)]),
        texts=[text for block in (first, *rest) for text in block.texts],
        figures=[figure for block in (first, *rest) for figure in block.figures],
    )
    gone = {id(block) for block in rest}
    return [joined if block is first else block for block in blocks if id(block) not in gone]
