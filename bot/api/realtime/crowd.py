"""How many connections each user has logged in on: what happens in a room is judged and written for each of them."""

from collections import Counter

from storage.ids import UserId


class Crowd:
    """Counts connections by user, up to the most that one may have."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._connections = Counter[UserId]()

    def enter(self, user_id: UserId) -> bool:
        """Count one more connection of a user; False, and nothing counted, when there are as many as there may be."""
        if self._connections[user_id] >= self.most:
            return False
        self._connections[user_id] += 1
        return True

    def leave(self, user_id: UserId) -> None:
        """Count one less."""
        self._connections[user_id] -= 1
        if not self._connections[user_id]:
            del self._connections[user_id]
