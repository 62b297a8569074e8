"""Where another chat sends commands and presses, and the texts it wants beside them (decisions 62 and 64)."""

from storage.records.workspace import Workspace, WorkspaceKind

HINT = "noun verb …  (try: help)"
DESCRIPTION = "Webhooks: list, show and change them, see how they do"
TRIGGER = "!hook"


def addresses(workspace: Workspace, base_url: str) -> dict[str, str]:
    """Return what has to be entered in the other chat, under the names its own pages use."""
    match workspace.kind:
        case WorkspaceKind.SLACK:
            return {
                "command": "/hook",
                "request_url": f"{base_url}/commands/slack",
                "interactivity_url": f"{base_url}/interactions/slack",
                "usage_hint": HINT,
                "short_description": DESCRIPTION,
            }
        case WorkspaceKind.MATTERMOST:
            return {
                "trigger_word": "hook",
                "request_url": f"{base_url}/commands/mattermost",
                "request_method": "POST",
                "autocomplete_hint": HINT,
                "autocomplete_description": DESCRIPTION,
                "completion_url": f"{base_url}/commands/mattermost/complete",
            }
        case WorkspaceKind.ROCKETCHAT:
            return {
                "event": "Message Sent",
                "trigger_words": TRIGGER,
                "urls": f"{base_url}/commands/rocketchat",
            }
        case WorkspaceKind.ROCKETCHAT_APP:
            return {"server_url": base_url, "workspace_id": workspace.team_id}
