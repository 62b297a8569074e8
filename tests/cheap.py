"""Password hashes of the usual kind without their price: tests log in thousands of times."""

from argon2 import PasswordHasher

from bot.workspace.passwords import Passwords


def cheap_passwords() -> Passwords:
    """Return what checks hashes of any cost, and makes such as take next to no time and memory."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
