"""What only one person reads: messages that are shown to them wherever they are connected, and kept nowhere."""

from collections.abc import Callable, Mapping

from storage.ids import UserId

Ephemeral = Mapping[str, object]
"""A message as the wire shows it."""
Listener = Callable[[Ephemeral], None]


class EphemeralMessages:
    """Hands each message to the connections its reader has at that moment; without any it is lost (decision 57)."""

    def __init__(self) -> None:
        self._listeners: dict[UserId, list[Listener]] = {}

    def subscribe(self, user_id: UserId, listener: Listener) -> Callable[[], None]:
        """Call back with every message for a user, until what this returns is called."""
        listeners = self._listeners.setdefault(user_id, [])
        listeners.append(listener)

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)
            if not listeners and self._listeners.get(user_id) is listeners:
                del self._listeners[user_id]

        return unsubscribe

    def send(self, user_id: UserId, message: Ephemeral) -> None:
        """Show a message to a user; listeners must not block."""
        for listener in tuple(self._listeners.get(user_id, ())):
            listener(message)
