"""Mattermost: slash commands, buttons and dialogs, proven by a token and by tickets of ours (chat-dialects.md §2)."""

from collections.abc import Sequence
from typing import Final

from handlers.chat.mattermost import render, requests
from handlers.chat.mattermost.requests import Typing
from handlers.chat_adapter import (
    UNAUTHENTICATED,
    Asked,
    Cancelled,
    ChatCommand,
    Ignored,
    InteractiveAdapter,
    Opening,
    Press,
    Refusal,
    Reply,
    Request,
    Submission,
    json_reply,
    to_json,
)
from handlers.chat_text import FENCE
from handlers.command import Answer, Dialect, Door, Form, Mark
from handlers.complete import Suggestion
from storage.clock import Millis

LONGEST_ERROR: Final = 500


class Mattermost:
    """The adapter; see `InteractiveAdapter`.

    A late answer cannot take the place of an earlier one, and a public answer to a press is whispered: the response to
    a press can change its post or whisper, nothing else.
    """

    name: Final = "mattermost"
    door: Final = Door(name="mattermost", signed=False, dialect=Dialect.MATTERMOST)
    base_url: Final = None
    edits: Final = False

    def probe(self, request: Request) -> Reply | None:
        """Mattermost never only asks whether somebody is there."""
        return None

    def team_of(self, request: Request) -> str | None:
        """Return the team a request names."""
        return requests.team_of(request)

    def authenticate(self, request: Request, secret: str, now: Millis) -> Refusal | None:
        """Check the token, or the ticket of a press or dialog; an old ticket is authentic, and told so later."""
        verdict = requests.authenticate(request, secret, now)
        return None if verdict.ok else Refusal(UNAUTHENTICATED.status, UNAUTHENTICATED.text, verdict.value)

    def parse_command(self, request: Request) -> ChatCommand | Ignored | Refusal:
        """Read a slash command."""
        return requests.command(request)

    def parse_interaction(
        self, request: Request, secret: str, now: Millis
    ) -> Press | Submission | Cancelled | Ignored | Refusal:
        """Read a press or the end of a dialog."""
        return requests.interaction(request, secret, now)

    def parse_completion(self, request: Request) -> Typing | Refusal:
        """Read what a plugin asks about a line that is being typed (decision 64)."""
        return requests.completion(request)

    def completion(self, suggestions: Sequence[Suggestion]) -> Reply:
        """Write suggestions as the items of a dynamic list, whose keys are capitalised."""
        return json_reply(
            [{"Item": one.insert.strip(), "Hint": one.label, "HelpText": one.hint} for one in suggestions]
        )

    def acknowledgement(self) -> Reply:
        """Return an answer that shows nothing."""
        return json_reply({})

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """Write the first post, and the others beside it."""
        return json_reply(_with_extras(answer, asked))

    def late(self, answer: Answer, asked: Asked, *, replace: bool = False) -> tuple[bytes, ...]:
        """Write one body for the response address, which takes the same as a response."""
        return (to_json(_with_extras(answer, asked)),) if asked.origin.response_url else ()

    def pressed(self, answer: Answer, press: Press, asked: Asked) -> Reply:
        """Put the answer in place of a whispered post and its buttons; beside a public one it is whispered."""
        first, *others = render.parts(answer.text)
        private = answer.private or answer.secret
        if press.whispered or not private:
            update = {"message": first, "props": {"attachments": render.buttons(answer, asked)}}
            rest = {"ephemeral_text": "\n".join(others)} if others else {}
            return json_reply({"update": update, "skip_slack_parsing": True, **rest})
        return json_reply({"ephemeral_text": "\n".join([first, *others]), "skip_slack_parsing": True})

    def submitted(self, answer: Answer, submission: Submission, asked: Asked) -> Reply:
        """Keep the dialog open with the problem, or close it and answer over the response address.

        Without such an address, as after a press, there is only the dialog to say it in.
        """
        said = answer.text.replace(FENCE, "").strip()
        if answer.mark is Mark.NOT_DONE:
            return json_reply({"error": said[:LONGEST_ERROR]})
        if bodies := self.late(answer, asked):
            return Reply(200, json_reply({}).content_type, b"{}", later=bodies)
        return json_reply({"error": said})

    def open_form(self, form: Form, asked: Asked) -> Opening | None:
        """Return the call that opens a dialog for a form; secret fields hide what is typed."""
        return _opening(render.form_dialog(form, asked) if asked.origin.trigger_id else None)

    def open_confirmation(self, answer: Answer, asked: Asked) -> Opening | None:
        """Return the call that asks in a dialog without fields (§2.4)."""
        return _opening(render.confirmation_dialog(answer, asked) if asked.origin.trigger_id else None)


def _with_extras(answer: Answer, asked: Asked) -> render.Json:
    first, *others = render.posts(answer, asked)
    return {**first, "extra_responses": others} if others else first


def _opening(body: bytes | None) -> Opening | None:
    return None if body is None else Opening("/api/v4/actions/dialogs/open", body, needs_token=False)


ADAPTER: InteractiveAdapter = Mattermost()
