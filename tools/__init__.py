"""Writes pages of this repository; not installed."""
