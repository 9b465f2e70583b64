"""Checks of the whole house, one file a room."""
