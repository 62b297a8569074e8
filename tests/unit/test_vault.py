"""Secrets at rest: sealing with a ring of keys, keyed hashes, and the key file."""

import base64
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from storage.errors import VaultError
from storage.vault import Vault, new_key, parse_keys, read_key_file, write_key_file

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


@pytest.mark.parametrize("plain", [b"", b"secret", bytes(100_000)], ids=["empty", "short", "long"])
def test_what_is_sealed_opens_for_its_record_only(plain: bytes) -> None:
    """A value opens with its key and its record's identity, never twice the same on disk."""
    vault = Vault([OLD])
    sealed = vault.seal(plain, "integration:1")
    assert vault.open(sealed, "integration:1") == plain
    assert vault.seal(plain, "integration:1") != sealed
    assert plain == b"" or plain not in sealed
    with pytest.raises(VaultError, match="integration:2"):
        vault.open(sealed, "integration:2")


@pytest.mark.parametrize(
    "damage",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]),
        lambda sealed: sealed[:10],
        lambda sealed: sealed[:4],
        lambda sealed: b"",
        lambda sealed: b"other" + sealed,
    ],
    ids=["cut by one", "one bit", "cut in the nonce", "only the key's name", "empty", "moved"],
)
def test_damage_is_our_error(damage: Callable[[bytes], bytes]) -> None:
    """Whatever happened to a sealed value, opening it raises VaultError and nothing else."""
    vault = Vault([OLD])
    with pytest.raises(VaultError):
        vault.open(damage(vault.seal(b"secret", "x")), "x")


def test_the_first_key_seals_and_all_open() -> None:
    """Rotation: the old key still opens, the new one seals, and the old one alone cannot open what is new (8)."""
    old, both = Vault([OLD]), Vault([NEW, OLD])
    sealed = old.seal(b"secret", "x")
    assert both.open(sealed, "x") == b"secret"
    assert not both.is_current(sealed)
    fresh = both.seal(b"secret", "x")
    assert both.is_current(fresh)
    assert Vault([NEW]).open(fresh, "x") == b"secret"
    with pytest.raises(VaultError, match="encryption key"):
        old.open(fresh, "x")


def test_new_keys_reach_every_vault_made_from_one() -> None:
    """A running server takes rotated keys without opening its store again, once they open what is stored."""
    keys = [OLD]
    vault = Vault(keys, reread=lambda: keys)
    stored = vault.seal(b"stored", "x")
    with_lookup = vault.with_lookup_key(b"k" * 32)
    hashed = with_lookup.lookup("token")
    keys = [NEW, OLD]
    vault.refresh(stored, "x")
    assert Vault([NEW]).open(with_lookup.seal(b"secret", "x"), "x") == b"secret"
    assert with_lookup.lookup("token") == hashed


def test_keys_that_open_nothing_stored_are_not_taken() -> None:
    """A key file that is gone, or another database's, changes nothing: what is sealed then would be lost."""
    keys: list[bytes] | None = [OLD]

    def reread() -> list[bytes]:
        if keys is None:
            raise VaultError
        return keys

    vault = Vault([OLD], reread=reread)
    stored = vault.seal(b"stored", "x")
    for found in (None, [NEW], []):
        keys = found
        vault.refresh(stored, "x")
        assert vault.open(stored, "x") == b"stored"
        assert Vault([OLD]).open(vault.seal(b"", "x"), "x") == b""
        with pytest.raises(VaultError):
            vault.open(Vault([b"z" * 32]).seal(b"secret", "x"), "x")


def test_a_rotated_key_is_read_when_it_is_first_needed() -> None:
    """What another process sealed with a newer key opens at once, and new values are sealed with it."""
    keys = [OLD]
    running = Vault(keys, reread=lambda: keys).with_lookup_key(b"k" * 32)
    keys = [NEW, OLD]
    assert running.open(Vault(keys).seal(b"secret", "x"), "x") == b"secret"
    assert Vault([NEW]).open(running.seal(b"later", "x"), "x") == b"later"
    with pytest.raises(VaultError):
        running.open(Vault([b"z" * 32]).seal(b"secret", "x"), "x")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b"x" * 33]], ids=["none", "short", "second too long"])
def test_wrong_keys_are_refused(keys: Sequence[bytes]) -> None:
    """A vault takes 32-byte keys only, at least one."""
    with pytest.raises(VaultError, match="32 bytes"):
        Vault(keys)


def test_lookups_depend_on_their_key() -> None:
    """The same value under the same key is the same hash, any other is another; without a key there is none."""
    vault = Vault([OLD], b"k" * 32)
    assert vault.lookup("token") == vault.lookup("token")
    assert len({vault.lookup("token"), vault.lookup("Token"), Vault([OLD], b"l" * 32).lookup("token")}) == 3
    assert len(vault.lookup("\udcff")) == 16
    with pytest.raises(VaultError):
        Vault([OLD]).lookup("token")


def test_a_vault_shows_no_key() -> None:
    """Neither its text nor its parts hold the key's bytes."""
    shown = repr(Vault([OLD], NEW)) + str(vars(Vault([OLD])))
    assert base64.b64encode(OLD).decode() not in shown
    assert repr(OLD) not in shown


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (" , \n", "empty"),
        ("not base64!", "key 1 is not base64"),
        ("AAAA", "key 1 has 3 bytes"),
        (f"{base64.b64encode(OLD).decode()},AAAA", "key 2 has 3 bytes"),
        ("ключ", "key 1 is not base64"),
    ],
)
def test_the_fault_of_a_key_is_named(text: str, fault: str) -> None:
    """A wrong key text says which key is wrong and how, without showing it."""
    with pytest.raises(VaultError, match=fault) as raised:
        parse_keys(text)
    assert "AAAA" not in str(raised.value)


def test_several_keys_may_be_given() -> None:
    """Keys are separated by commas or white space."""
    old, new = (base64.b64encode(key).decode() for key in (OLD, NEW))
    for text in (f"{new},{old}", f"{new}\n{old}\n", f" {new} , {old}"):
        assert parse_keys(text) == [NEW, OLD]
    assert len(parse_keys(new_key())[0]) == 32


def test_the_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """It is written with mode 0600, in one step."""
    path = tmp_path / "patchbay.key"
    write_key_file(path, [new_key()])
    keys = read_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_key_file(path, [base64.b64encode(NEW).decode(), base64.b64encode(keys[0]).decode()])
    assert read_key_file(path) == [NEW, *keys]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["patchbay.key"]


def test_an_unusable_key_file_is_named(tmp_path: Path) -> None:
    """A key file that is a folder, not text, or not there gives one sentence that names it."""
    folder = tmp_path / "folder.key"
    folder.mkdir()
    binary = tmp_path / "binary.key"
    binary.write_bytes(b"\xff\xfe")
    for path in (folder, binary, tmp_path / "missing" / "some.key"):
        with pytest.raises(VaultError, match=path.name):
            read_key_file(path)
