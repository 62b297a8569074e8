"""Slack: slash commands, buttons and modals, signed with the scheme `v0` (chat-dialects.md §1)."""

from typing import Final

from handlers.chat.slack import render, requests
from handlers.chat.slack.names import BLOCK
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
from handlers.signing import v0
from storage.clock import Millis

HEADERS: Final = v0.V0Headers(timestamp=requests.TIMESTAMP, signature=requests.SIGNATURE)
LONGEST_ERROR: Final = 500


class Slack:
    """The adapter; see `InteractiveAdapter`."""

    name: Final = "slack"
    door: Final = Door(name="slack", dialect=Dialect.SLACK)
    base_url: Final = "https://slack.com/api"
    edits: Final = True

    def probe(self, request: Request) -> Reply | None:
        """Answer the certificate check with 200 and nothing (§1.1)."""
        return Reply() if requests.is_probe(request) else None

    def team_of(self, request: Request) -> str | None:
        """Return the team a request names."""
        return requests.team_of(request)

    def authenticate(self, request: Request, secret: str, now: Millis) -> Refusal | None:
        """Check the signature, 300 s either way (§1.2); the deprecated `token` counts for nothing."""
        verdict = v0.verify(secret.encode(), request.headers, request.body, now / 1000, HEADERS)
        return None if verdict.ok else Refusal(UNAUTHENTICATED.status, UNAUTHENTICATED.text, verdict.value)

    def parse_command(self, request: Request) -> ChatCommand | Ignored | Refusal:
        """Read a slash command."""
        return requests.command(request)

    def parse_interaction(
        self, request: Request, secret: str, now: Millis
    ) -> Press | Submission | Cancelled | Ignored | Refusal:
        """Read a press, a submission or a closed modal."""
        return requests.interaction(request, secret, now)

    def acknowledgement(self) -> Reply:
        """Return 200 with an empty body: nothing is shown (§1.3)."""
        return Reply()

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """Write one message; what does not fit into it follows over the response address."""
        first, *others = render.messages(answer, most=4 if asked.origin.response_url else 1)
        return json_reply(first, later=tuple(to_json(other) for other in others))

    def late(self, answer: Answer, asked: Asked, *, replace: bool = False) -> tuple[bytes, ...]:
        """Write messages for the response address."""
        if asked.origin.response_url is None:
            return ()
        return render.late_bodies(answer, replace=replace, thread_id=asked.origin.thread_id)

    def pressed(self, answer: Answer, press: Press, asked: Asked) -> Reply:
        """Acknowledge with nothing, as Slack wants it, and answer over the response address.

        A whispered message is replaced, so that its buttons go. A public one stays as it is when the answer is for
        the presser alone.
        """
        private = answer.private or answer.secret
        bodies = self.late(answer, asked, replace=press.whispered == private)
        if press.whispered and not private and bodies:
            bodies = (to_json({"delete_original": True}), *bodies)
        return Reply(later=bodies)

    def submitted(self, answer: Answer, submission: Submission, asked: Asked) -> Reply:
        """Keep the modal open with the problem, or close it and answer where the command was typed."""
        if answer.mark is Mark.NOT_DONE and submission.values:
            field = next(iter(submission.values))
            return requests.form_errors({f"{BLOCK}{field}": answer.text.replace(FENCE, "").strip()[:LONGEST_ERROR]})
        if bodies := self.late(answer, asked):
            return Reply(later=bodies)
        return json_reply({"response_action": "update", "view": render.shown_view(answer)})

    def open_form(self, form: Form, asked: Asked) -> Opening | None:
        """Return `views.open` with a modal for the form."""
        view = render.modal(form, asked) if asked.origin.trigger_id else None
        if view is None:
            return None
        body = to_json({"trigger_id": asked.origin.trigger_id, "view": view})
        return Opening("/views.open", body, needs_token=True)

    def open_confirmation(self, answer: Answer, asked: Asked) -> Opening | None:
        """Leave it to the buttons: Slack shows them under the text that says what is about to happen."""
        return None


ADAPTER: InteractiveAdapter = Slack()
