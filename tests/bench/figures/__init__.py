"""One module for each figure; its `measure` returns what it saw."""
