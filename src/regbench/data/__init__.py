"""Data sets: where their arrays come from, the DataModule that serves them, image files for a trained network."""

from regbench.data.module import Batches, ImageData, Split

__all__ = ["Batches", "ImageData", "Split"]
