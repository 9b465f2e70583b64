"""Tuned comparisons: settings are searched with equal budgets on validation images, then confirmed on fresh seeds.

Optuna proposes, ordinary runs try, and no part of the search reads a test score.
"""
