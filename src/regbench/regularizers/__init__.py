"""Regularization techniques, one per file and a YAML of the same name.

To add one: subclass `Regularizer`, override the hooks that the technique needs, and write its YAML.
"""

from regbench.regularizers.base import Combined, Regularizer

__all__ = ["Combined", "Regularizer"]
