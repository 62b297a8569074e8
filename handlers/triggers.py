"""Whether a message fires a hook: trigger words and the edit rule (`rocketchat.md` §6)."""

from dataclasses import dataclass

from storage.records.integration import OutgoingHook


@dataclass(frozen=True, slots=True)
class Fire:
    """The hook runs; `trigger_word` is the one that matched, None when the hook has none."""

    trigger_word: str | None = None


def fires(hook: OutgoingHook, text: str, *, is_edit: bool) -> Fire | None:
    """Match a message against a hook on `sendMessage`; None means that the hook stays silent.

    The first word in the hook's order wins: case-sensitive, at the beginning, without a word boundary,
    or wherever it stands with `trigger_word_anywhere`.
    """
    if is_edit and not hook.run_on_edits:
        return None
    if not hook.trigger_words:
        return Fire()
    for word in hook.trigger_words:
        if text.startswith(word) or (hook.trigger_word_anywhere and word in text):
            return Fire(word)
    return None
