"""Builds the documentation site from the repository's pages, which read as well where the repository is shown."""
