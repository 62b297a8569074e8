"""Find what a mistyped word was meant to be (commands.md §2.4)."""

from collections.abc import Iterable
from os.path import commonprefix

MAX_SUGGESTIONS = 3
MAX_EDITS = 2
MAX_LENGTH = 64
"""Longer words are not typos, and comparing them costs time."""
