"""What our own buttons and modals are called in Slack, so that we know them again."""

from typing import Final

RUN: Final = "run:"
"""Begins the `action_id` of a button whose value is a line."""
SUBMIT: Final = "patchbay-form"
"""The `callback_id` of our modals."""
BLOCK: Final = "field:"
"""Begins the `block_id` of a modal's input; the rest is the field's name."""
VALUE: Final = "value"
"""The `action_id` of a modal's input."""
