"""Tests of the package, the pages and the project around them."""
