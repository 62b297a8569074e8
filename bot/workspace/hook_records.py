"""From an approved form to the stored integration: what a write sets and what it leaves (`rocketchat.md` §3, §4.4)."""

from dataclasses import dataclass, replace
from typing import Any

from bot.workspace.hook_forms import Body, Form, IncomingForm, OutgoingForm
from bot.workspace.hook_rules import Approved
from handlers.outgoing.events import OutgoingEvent
from storage.clock import Millis
from storage.ids import OrgId, hook_token, integration_id
from storage.records.integration import Actor, Hook, IncomingHook, OutgoingHook, PreviousToken, direction

ENGINE = "isolated-vm"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where, when and by whom a hook is made."""

    org: OrgId
    at: Millis
    by: Actor


def _origin(approved: Approved, stamp: Stamp) -> dict[str, Any]:  # Any: as in Integration
    """Return what a new hook gets once and keeps."""
    return {
        "id": integration_id(),
        "org_id": stamp.org,
        "username": approved.poster.username,
        "user_id": approved.poster.id,
        "created_at": stamp.at,
        "created_by": stamp.by,
        "updated_at": stamp.at,
    }


def _shared(form: Form, approved: Approved) -> dict[str, Any]:  # Any: as in Integration
    """Return what forms of both directions set, on creation and on every update."""
    return {
        "name": form.name,
        "enabled": form.enabled,
        "channels": approved.channels,
        "alias": form.alias,
        "avatar": form.avatar,
        "emoji": form.emoji,
        "script_enabled": form.script_enabled,
        "script": form.script,
    }


def new_incoming(form: IncomingForm, approved: Approved, stamp: Stamp) -> IncomingHook:
    """Return a new incoming hook with an id and a token of its own."""
    return IncomingHook(
        **_origin(approved, stamp),
        **_shared(form, approved),
        token=hook_token(),
        script_engine=form.script_engine or ENGINE,
        override_destination=form.override_destination or False,
    )


def updated_incoming(hook: IncomingHook, form: IncomingForm, approved: Approved) -> IncomingHook:
    """Return a hook as an update leaves it: posting user and token stay, the override flag unless it was sent."""
    override = form.override_destination
    return replace(
        hook,
        **_shared(form, approved),
        script_engine=form.script_engine or hook.script_engine,
        override_destination=hook.override_destination if override is None else override,
    )


def with_new_token(hook: IncomingHook, *, old_hash: bytes, old_until: Millis | None) -> IncomingHook:
    """Return a hook with a fresh token; the one so far, found by `old_hash`, works on until a time, if one is given.

    An earlier token that still worked ends now: an overlap is of two tokens, not of many.
    """
    previous = None if old_until is None else PreviousToken(hash=old_hash, until=old_until)
    return replace(hook, token=hook_token(), previous_token=previous)


def new_outgoing(form: OutgoingForm, approved: Approved, stamp: Stamp) -> OutgoingHook:
    """Return a new outgoing hook; its token is the one sent, trigger words exist on messages only."""
    on_messages = form.event == OutgoingEvent.SEND_MESSAGE
    return OutgoingHook(
        **_origin(approved, stamp),
        **_shared(form, approved),
        token=form.token,
        script_engine=form.script_engine or ENGINE,
        event=form.event,
        urls=form.urls or (),
        target_room=form.target_room,
        trigger_words=(form.trigger_words or ()) if on_messages else (),
        trigger_word_anywhere=form.trigger_word_anywhere if on_messages else None,
        run_on_edits=form.run_on_edits,
        impersonate_user=form.impersonate_user,
        retry_failed_calls=form.retry_failed_calls,
        retry_count=form.retry_count,
        retry_delay=form.retry_delay,
    )


def updated_outgoing(hook: OutgoingHook, form: OutgoingForm, approved: Approved, stamp: Stamp) -> OutgoingHook:
    """Return a hook with every field replaced, but its origin and what REST does not know (decision 35)."""
    return replace(
        new_outgoing(form, approved, stamp),
        id=hook.id,
        created_at=hook.created_at,
        created_by=hook.created_by,
        version=hook.version,
        expires_at=hook.expires_at,
        muted_until=hook.muted_until,
        ordered=hook.ordered,
        signing_keys=hook.signing_keys,
    )


def body_of(hook: Hook) -> Body:
    """Return the body that would leave a hook as it is (§4.4), for changing a part of it."""
    shared = {
        "type": direction(hook).value,
        "name": hook.name,
        "enabled": hook.enabled,
        "username": hook.username,
        "channel": ",".join(hook.channels),
        "alias": hook.alias,
        "avatar": hook.avatar,
        "emoji": hook.emoji,
        "scriptEnabled": hook.script_enabled,
        "script": hook.script,
        "scriptEngine": hook.script_engine,
    }
    if isinstance(hook, IncomingHook):
        return {**shared, "overrideDestinationChannelEnabled": hook.override_destination}
    return {
        **shared,
        "event": hook.event,
        "urls": list(hook.urls),
        "targetRoom": hook.target_room,
        "triggerWords": list(hook.trigger_words),
        "triggerWordAnywhere": hook.trigger_word_anywhere,
        "token": hook.token,
        "runOnEdits": hook.run_on_edits,
        "impersonateUser": hook.impersonate_user,
        "retryFailedCalls": hook.retry_failed_calls,
        "retryCount": hook.retry_count,
        "retryDelay": hook.retry_delay,
    }


def with_room_renamed(hook: Hook, old: str, new: str) -> Hook:
    """Return a hook that names a room by its new name (decision 25); a target room may stand without `#`."""
    names = {f"#{old}": f"#{new}", old: new}
    channels = tuple(f"#{new}" if channel == f"#{old}" else channel for channel in hook.channels)
    changed = replace(hook, channels=channels)
    if isinstance(changed, OutgoingHook) and changed.target_room:
        return replace(changed, target_room=names.get(changed.target_room, changed.target_room))
    return changed
