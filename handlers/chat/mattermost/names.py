"""What our own buttons and dialogs are called in Mattermost."""

from typing import Final

TICKET: Final = "ticket"
"""The key of a button's context."""
TEAM: Final = "team"
"""The key of the query that names the team: a press in a direct channel names none."""
FORM: Final = "form"
CONFIRM: Final = "confirm"
