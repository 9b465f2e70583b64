"""Simulations of the statistics, with fixed seeds: the tables of docs/statistics.md."""
