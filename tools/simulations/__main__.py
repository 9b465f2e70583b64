"""Fills the tables of the simulations into a page: ``python -m tools.simulations docs/statistics.md``."""

import sys
from pathlib import Path

from tools.pages import fill_file
from tools.simulations import assumptions, new_images, stages

if __name__ == "__main__":
    fill_file(
        Path(sys.argv[1]),
        {
            "new_images": new_images.table(),
            "stages": stages.table(),
            "assumptions": "\n".join(assumptions.coverage_table()),
            "checks": "\n".join(assumptions.detection_table()),
            "seeds_needed": "\n".join(assumptions.seeds_table()),
        },
    )
