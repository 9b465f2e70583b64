"""Tuned comparisons: every setting is searched with the same budget on validation images, then confirmed on fresh seeds.

Optuna proposes, ordinary runs try, and no part of the search reads a test score.
"""
