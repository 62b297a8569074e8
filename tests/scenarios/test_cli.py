"""The command line as operators and scripts use it: real processes, a real data folder (decisions 27, 28, 68)."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from filelock import FileLock
from sqlite_utils import Database, Migrations

from bot.cli import cli
from storage.sqlite.schema import migrations
from storage.vault import Vault, new_key, read_key_file
from tests.process import ROOT, ServerProcess, environment, patchbay

PASSWORD = "correct horse battery"
WITHIN_S = 5.0
"""A second is promised (decision 28); a loaded test machine gets more."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[ServerProcess]:
    """A server whose owner has a known password."""
    with ServerProcess(data, {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as running:
        yield running


def ask(url: str, body: object = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Make one HTTP request, a POST when there is a body; returns status and parsed answer."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def login(url: str, user: str = "owner", password: str = PASSWORD) -> dict[str, str]:
    """Log in and return the headers of the session."""
    status, answer = ask(f"{url}/api/v1/login", {"user": user, "password": password})
    assert status == 200, answer
    return {"X-User-Id": answer["data"]["userId"], "X-Auth-Token": answer["data"]["authToken"]}


def texts(url: str, headers: dict[str, str], room: str = "GENERAL") -> list[str]:
    """Return the newest texts of a room, newest first."""
    status, answer = ask(f"{url}/api/v1/channels.history?roomId={room}", headers=headers)
    assert status == 200, answer
    return [message["msg"] for message in answer["messages"]]


def eventually(holds: Callable[[], bool]) -> bool:
    """Ask again until it holds or the time is up; every question is a request, which is wait enough."""
    end = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > end:
            return False
    return True


def done(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that must have succeeded."""
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str], *parts: str, code: int = 1) -> None:
    """Check that a command ended with its code and one sentence, on standard error, without a traceback."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr
    if code == 1:
        last = [line for line in result.stderr.splitlines() if not line.startswith("{")]
        assert len(last) == 1, result.stderr
        assert last[0].startswith("Error: ")


# --- serve ------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_start_prints_what_a_newcomer_needs(data: Path) -> None:
    """The owner can log in with the printed password, and the printed curl line posts when pasted."""
    with ServerProcess(data) as server:
        words = [line.split() for line in server.first_start_lines]
        owner = next(line[1] for line in words if line[:1] == ["Owner"])
        password = next(line[1] for line in words if line[:1] == ["Password"])
        curl = next(line for line in server.first_start_lines if line.strip().startswith("curl "))
        pasted = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=20, check=False)
        assert json.loads(pasted.stdout) == {"success": True}
        assert texts(server.url, login(server.url, owner, password))[0] == "Hello from curl"
        assert password not in server.errors
        secret = curl.rsplit("/", 1)[1]
        assert secret not in server.errors


def test_the_next_start_prints_no_secret_and_finds_everything(data: Path) -> None:
    """What was answered before a kill -9 is there after it, and a later start introduces nobody."""
    with ServerProcess(data, {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as server:
        curl = next(line for line in server.first_start_lines if "curl " in line)
        assert not any("Password" in line for line in server.first_start_lines)
        path = curl.split(server.url)[1]
        assert ask(server.url + path, {"text": "before"})[0] == 200
        server.kill()
    with ServerProcess(data) as server:
        assert server.first_start_lines == []
        assert ask(server.url + path, {"text": "after"})[0] == 200
        assert texts(server.url, login(server.url))[:2] == ["after", "before"]


def test_sigterm_ends_the_server_cleanly(server: ServerProcess) -> None:
    """A stop within 10 s with exit code 0 is what a service manager expects."""
    assert server.stop() == 0


def test_a_folder_serves_one_server(server: ServerProcess) -> None:
    """A second server on the same folder is refused and does the first no harm."""
    second = patchbay("serve", "--port", "0", "--data", server.data)
    refused(second, "Another Patchbay server already uses this data folder", str(server.data))
    assert ask(f"{server.url}/health")[0] == 200


def test_a_taken_port_is_named(data: Path) -> None:
    """The sentence says which address could not be listened on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(patchbay("serve", "--port", str(port), "--data", data), f"Cannot listen on 127.0.0.1 port {port}")


def test_an_address_of_another_machine_is_named(data: Path) -> None:
    """The sentence says which address is not this machine's."""
    result = patchbay("serve", "--host", "192.0.2.1", "--port", "8084", "--data", data)
    refused(result, "Cannot listen on 192.0.2.1 port 8084")


def test_another_refusal_is_not_taken_for_the_address(data: Path) -> None:
    """A fault of the system that names no file says what the system said, nothing about listening."""
    faulty = (
        "import errno, os, bot.serve\n"
        "def refuse(*_, **__): raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))\n"
        "bot.serve.open_services = refuse\n"
        "from bot.cli import cli\n"
        f"cli(['serve', '--port', '0', '--data', {str(data)!r}])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", faulty], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    refused(run, "Too many open files")
    assert "listen" not in run.stderr


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"PATCHBAY_PROT": "1"}, "PATCHBAY_PROT is not a setting"),
        ({"PATCHBAY_MAX_BODY_BYTES": "many"}, "PATCHBAY_MAX_BODY_BYTES"),
        ({"PATCHBAY_ALLOW_TARGETS": "0.0.0.0/0"}, "PATCHBAY_ALLOW_TARGETS"),
        ({"PATCHBAY_OWNER_PASSWORD": "short"}, "PATCHBAY_OWNER_PASSWORD"),
        ({"PATCHBAY_OWNER_USERNAME": "rocket.cat"}, "PATCHBAY_OWNER_USERNAME"),
        ({"PATCHBAY_ENCRYPTION_KEY": "c2hvcnQ="}, "PATCHBAY_ENCRYPTION_KEY"),
    ],
)
def test_a_wrong_setting_stops_the_start(data: Path, settings: dict[str, str], part: str) -> None:
    """The sentence names the variable and does not repeat its value."""
    result = patchbay("serve", "--port", "0", "--data", data, settings=settings)
    refused(result, part)
    assert "c2hvcnQ=" not in result.stderr


def _not_a_database(file: Path) -> None:
    file.write_bytes(b"These are not the bytes of a database. " * 200)


def _from_the_future(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " SELECT migration_set, 'of-the-future', applied_at FROM _sqlite_migrations LIMIT 1"
        )
    connection.close()


def _read_only(file: Path) -> None:
    file.parent.chmod(0o500)


def _of_another_key(file: Path) -> None:
    (file.parent / "patchbay.key").unlink()


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (_not_a_database, "restore a backup"),
        (_from_the_future, "newer Patchbay"),
        (_read_only, "not writable"),
        (_of_another_key, "key"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_the_start(data: Path, damage: Callable[[Path], None], part: str) -> None:
    """Each fault of the data folder gives one clear sentence, and an exit code that is not 0."""
    with ServerProcess(data) as server:
        assert server.stop() == 0
    damage(data / "patchbay.db")
    if damage is _read_only and _may_write_anyway(data):
        pytest.skip("this user may write to read-only folders")
    try:
        refused(patchbay("serve", "--port", "0", "--data", data), part)
    finally:
        data.chmod(0o700)


def _may_write_anyway(folder: Path) -> bool:
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    return True


# --- beside a running server ------------------------------------------------------------------------


def test_a_new_hook_works_at_once(server: ServerProcess) -> None:
    """The address that `hook add` prints is the running server's, and answers within a moment."""
    made = json.loads(
        done(patchbay("hook", "add", "incoming", "ci", "--room", "#general", "--json", "--data", server.data))
    )
    assert made["address"].startswith(f"{server.url}/hooks/{made['id']}/")
    assert eventually(lambda: ask(made["address"], {"text": "from the new hook"})[0] == 200)
    assert texts(server.url, login(server.url))[0] == "from the new hook"


def test_a_token_works_until_it_is_revoked(server: ServerProcess) -> None:
    """A token made beside the server logs in, is listed by its end only, and ends within a moment."""
    headers = json.loads(done(patchbay("token", "add", "owner", "script", "--json", "--data", server.data)))
    assert eventually(lambda: ask(f"{server.url}/api/v1/me", headers=headers)[0] == 200)
    refused(patchbay("token", "add", "owner", "script", "--data", server.data), "already exists")

    listed = done(patchbay("token", "list", "owner", "--json", "--data", server.data))
    assert headers["X-Auth-Token"] not in listed
    assert [(row["name"], row["ends_with"]) for row in json.loads(listed)] == [("script", headers["X-Auth-Token"][-4:])]

    done(patchbay("token", "revoke", "owner", "script", "--data", server.data))
    assert eventually(lambda: ask(f"{server.url}/api/v1/me", headers=headers)[0] == 401)
    refused(patchbay("token", "revoke", "owner", "script", "--data", server.data), "Token does not exist")


def test_users_are_managed_beside_the_server(server: ServerProcess) -> None:
    """Made, given a role and a password, disabled and enabled: the server follows each time."""
    folder = ("--data", server.data)
    made = json.loads(done(patchbay("user", "add", "ann", "--email", "ann@example.test", "--json", *folder)))
    assert (made["username"], made["role"]) == ("ann", "viewer")
    headers = login(server.url, "ann", made["password"])

    assert done(patchbay("user", "role", "ann", "admin", *folder)) == "Done. ann is admin.\n"
    assert eventually(lambda: ask(f"{server.url}/api/v1/me", headers=headers)[1]["roles"] == ["admin"])

    done(patchbay("user", "password", "ann", "--password-stdin", *folder, typed="a whole new password\n"))
    assert eventually(lambda: ask(f"{server.url}/api/v1/me", headers=headers)[0] == 401)
    headers = login(server.url, "ann", "a whole new password")

    done(patchbay("user", "disable", "ann", *folder))
    assert eventually(lambda: ask(f"{server.url}/api/v1/me", headers=headers)[0] == 401)
    done(patchbay("user", "enable", "ann", *folder))
    assert eventually(
        lambda: ask(f"{server.url}/api/v1/login", {"user": "ann", "password": "a whole new password"})[0] == 200
    )
    listed = json.loads(done(patchbay("user", "list", "--json", *folder)))
    assert {row["username"]: (row["role"], row["active"]) for row in listed} == {
        "owner": ("owner", True),
        "rocket.cat": ("viewer", True),
        "ann": ("admin", True),
    }


def test_a_lowered_role_stops_hooks_of_the_running_server(server: ServerProcess) -> None:
    """The command names them and how to take them over, and the server lets them into the private room no more."""
    folder = ("--data", server.data)
    owner = login(server.url)
    made = json.loads(done(patchbay("user", "add", "ann", "--role", "admin", "--json", *folder)))
    ann = login(server.url, "ann", made["password"])
    assert ask(f"{server.url}/api/v1/groups.create", {"name": "board", "members": ["rocket.cat"]}, owner)[0] == 200
    body = {"type": "webhook-incoming", "name": "ci", "enabled": True, "username": "rocket.cat", "channel": "#board"}
    created = ask(f"{server.url}/api/v1/integrations.create", {**body, "scriptEnabled": False}, ann)
    hook = created[1]["integration"]
    address = f"{server.url}/hooks/{hook['_id']}/{hook['token']}"
    assert ask(address, {"text": "before"})[0] == 200
    assert done(patchbay("user", "role", "ann", "editor", *folder)) == (
        "Done. ann is editor.\n"
        f"Stopped the hook {hook['_id']}: its maker ann may not enter #board."
        f" To take it over: patchbay hook in adopt {hook['_id']}\n"
    )
    assert eventually(
        lambda: ask(address, {"text": "after"}) == (400, {"success": False, "error": "error-not-allowed"})
    )
    token = json.loads(done(patchbay("token", "add", "owner", "script", "--json", *folder)))["X-Auth-Token"]
    line = ("hook", "--url", server.url, "in", "adopt", hook["_id"])
    assert "runs with the rights of owner now" in done(patchbay(*line, settings={"PATCHBAY_TOKEN": token}))
    assert ask(address, {"text": "taken over"})[0] == 200


def test_keys_rotate_beside_the_server(server: ServerProcess) -> None:
    """The server opens what was sealed a moment ago, soon seals with the new key, and later needs no other."""
    key_file = server.data / "patchbay.key"
    old = key_file.read_text().split()
    address = next(line for line in server.first_start_lines if "curl " in line).split()[-1]
    told = done(patchbay("keys", "rotate", "--data", server.data))
    assert "secrets are sealed" in told
    assert "Backups made before now need it" in told
    assert told.split()[-1:] == old
    assert ask(address, {"text": "at once"})[0] == 200
    assert len(key_file.read_text().split()) == 1
    assert key_file.read_text().split() != old
    assert key_file.stat().st_mode & 0o077 == 0
    assert eventually(lambda: _seals_with_the_first_key(server, address))
    assert server.stop() == 0

    with FileLock(server.data / "patchbay.key.lock"):
        refused(patchbay("keys", "rotate", "--data", server.data), "Another `patchbay keys rotate`")
    second = key_file.read_text().split()
    kept = server.data.parent / "old.key"
    assert f"Written to {kept}" in done(patchbay("keys", "rotate", "--old-keys", kept, "--data", server.data))
    assert kept.read_text().split() == second
    assert kept.stat().st_mode & 0o077 == 0
    with ServerProcess(server.data) as again:
        assert ask(address.replace(server.url, again.url), {"text": "after"})[0] == 200


def test_keys_from_the_environment_rotate_too(data: Path) -> None:
    """With the new key before the old one everything is sealed again, and the old one can go."""
    old, new = new_key(), new_key()
    with ServerProcess(data, {"PATCHBAY_ENCRYPTION_KEY": old}) as server:
        assert server.stop() == 0
    both = {"PATCHBAY_ENCRYPTION_KEY": f"{new},{old}"}
    told = done(patchbay("keys", "rotate", "--data", data, settings=both))
    assert "Done. 2 secrets" in told
    assert "Key 2 is not needed any more" in told
    listing = ("hook", "list", "--data", data)
    assert "first-hook" in done(patchbay(*listing, settings={"PATCHBAY_ENCRYPTION_KEY": new}))
    refused(patchbay(*listing, settings={"PATCHBAY_ENCRYPTION_KEY": old}), "The encryption key does not open")
    assert not (data / "patchbay.key").exists()


def _seals_with_the_first_key(server: ServerProcess, address: str) -> bool:
    """Post once and look at how the kept request was sealed."""
    assert ask(address, {"text": "more"})[0] == 200
    connection = sqlite3.connect(server.data / "patchbay.db")
    try:
        [sealed] = connection.execute("SELECT sealed FROM hook_request ORDER BY rowid DESC LIMIT 1").fetchone()
    finally:
        connection.close()
    return Vault(read_key_file(server.data / "patchbay.key")).is_current(sealed)


def test_a_backup_can_be_restored(server: ServerProcess, tmp_path: Path) -> None:
    """Copied while the server runs; stopped, copied back and started, it holds what it held then."""
    headers = login(server.url)
    path = _upload(server.url, headers, b"the bytes of a file")
    copy = tmp_path / "copy"
    assert "1 uploaded file." in done(patchbay("db", "backup", copy, "--data", server.data))
    refused(patchbay("db", "backup", copy, "--data", server.data), "exists already")
    ask(f"{server.url}/api/v1/chat.postMessage", {"roomId": "GENERAL", "text": "too late"}, headers)
    assert texts(server.url, headers)[0] == "too late"
    assert server.stop() == 0

    shutil.rmtree(server.data / "uploads")
    for name in ("patchbay.db-wal", "patchbay.db-shm"):
        (server.data / name).unlink(missing_ok=True)
    shutil.copytree(copy, server.data, dirs_exist_ok=True)
    with ServerProcess(server.data) as restored:
        assert restored.first_start_lines == []
        assert "too late" not in texts(restored.url, headers)
        with urllib.request.urlopen(urllib.request.Request(restored.url + path, headers=headers)) as response:
            assert response.read() == b"the bytes of a file"
    assert done(patchbay("db", "check", "--data", server.data)) == "Done. The database is sound.\n"


def test_a_check_only_reads(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an older version is checked as it is; migrating it, with a copy, is left to whoever asks for that."""
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    later = Migrations("patchbay")

    @later(name="of_the_next_version")
    def add_a_table(db: Database) -> None:
        db.execute("CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT")

    monkeypatch.setattr(migrations, "_migrations", [*migrations._migrations, *later._migrations])
    before = (data / "patchbay.db").read_bytes()
    result = CliRunner().invoke(cli, ["db", "check", "--data", str(data)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Done. The database is sound. It is of an older version")
    assert (data / "patchbay.db").read_bytes() == before
    assert not any((data / "backups").iterdir())

    assert CliRunner().invoke(cli, ["db", "migrate", "--data", str(data)]).exit_code == 0
    assert CliRunner().invoke(cli, ["db", "check", "--data", str(data)]).stdout == "Done. The database is sound.\n"
    assert len(list((data / "backups").iterdir())) == 1


def test_a_check_finds_damage(folder: Path, tmp_path: Path) -> None:
    """Rows that point at nothing and a file that is no database end with code 1 and what to do."""
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    with sqlite3.connect(data / "patchbay.db") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM organisation")
    connection.close()
    result = CliRunner().invoke(cli, ["db", "check", "--data", str(data)])
    assert (result.exit_code, "points at a missing organisation" in result.stderr) == (1, True)
    _not_a_database(data / "patchbay.db")
    result = CliRunner().invoke(cli, ["db", "check", "--data", str(data)])
    assert (result.exit_code, "restore a backup" in result.stderr) == (1, True)


def _upload(url: str, headers: dict[str, str], content: bytes) -> str:
    """Upload a file into `#general` and return where it is served."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + content + b"\r\n--b--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=b", **headers}
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/api/v1/rooms.upload/GENERAL", part, form), timeout=10
    ) as response:
        file = json.load(response)["message"]["file"]
    return f"/file-upload/{file['_id']}/{file['name']}"


# --- hooks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a server has filled and left."""
    data = tmp_path_factory.mktemp("cli") / "data"
    with ServerProcess(data, {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as server:
        assert server.stop() == 0
    return data


def test_what_rest_does_not_know_is_set_by_hook_edit(folder: Path, tmp_path: Path) -> None:
    """Secret, dedup header, kept requests, expiry and the switch, each shown by `hook show` (decision 35)."""
    at = ("--data", folder)
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-sender\n")
    done(patchbay("hook", "add", "incoming", "ci", "--room", "#general", "--secret-file", secret, *at))
    plain = json.loads(done(patchbay("hook", "show", "ci", "--json", *at)))
    assert (plain["secret"], plain["address"].rsplit("/", 1)[1]) == ("***", "***")

    edits = ("--dedup", "X-Event-Id", "--drop-requests", "--expires", "7d", "--disable", "--no-secret")
    done(patchbay("hook", "edit", "ci", *edits, *at))
    shown = json.loads(done(patchbay("hook", "show", "ci", "--json", "--reveal", *at)))
    assert shown["secret"] is None
    assert (shown["dedup"], shown["keep_requests"], shown["enabled"]) == ("X-Event-Id", False, False)
    assert shown["expires"] is not None
    assert len(shown["address"].rsplit("/", 1)[1]) == 48

    done(patchbay("hook", "edit", "ci", "--secret-file", "-", *at, typed="another-secret\n"))
    assert json.loads(done(patchbay("hook", "show", "ci", "--json", "--reveal", *at)))["secret"] == "another-secret"
    done(patchbay("hook", "remove", "ci", "--yes", *at))
    refused(patchbay("hook", "show", "ci", *at), "There is no hook 'ci'")


def test_an_outgoing_hook_is_made_ready_to_retry(folder: Path) -> None:
    """Retries are on, a token and a signing key are made and printed once, lists hide the address (decision 42)."""
    at = ("--data", folder)
    url = "https://receiver.example/path?key=k3y"
    made = json.loads(
        done(
            patchbay(
                *("hook", "add", "outgoing", "deploys", "--event", "sendMessage", "--room", "#general"),
                *("--trigger", "!deploy", "--url-file", "-", "--sign", "--ordered", "--json", *at),
                typed=url + "\n",
            )
        )
    )
    assert made["calls"] == ["https://receiver.example/…"]
    listed = done(patchbay("hook", "list", *at))
    assert "https://receiver.example/…" in listed
    shown = json.loads(done(patchbay("hook", "show", "deploys", "--json", *at)))
    assert (shown["retries"], shown["retry_delay"], shown["ordered"]) == (6, "powers-of-ten", True)
    assert (shown["triggers"], shown["token"], shown["signing_keys"]) == (["!deploy"], "***", ["***"])
    for secret in ("k3y", made["token"], made["signing_key"]):
        assert secret not in listed + json.dumps(shown)

    rotated = done(patchbay("hook", "edit", "deploys", "--sign", *at))
    revealed = json.loads(done(patchbay("hook", "show", "deploys", "--json", "--reveal", *at)))
    assert (revealed["calls"], revealed["token"]) == ([url], made["token"])
    assert len(revealed["signing_keys"]) == 2
    assert revealed["signing_keys"][1] == made["signing_key"]
    assert revealed["signing_keys"][0] in rotated


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("hook", "add", "incoming", "x", "--room", "#nowhere"), 1, "error-invalid-room"),
        (("hook", "add", "incoming", "x"), 2, "--room"),
        (("hook", "add", "incoming", "x", "--room", "#general", "--dedup", "no header"), 1, "dedup header"),
        (("hook", "add", "incoming", "x", "--room", "#general", "--expires", "soon"), 2, "--expires"),
        (("hook", "add", "outgoing", "x", "--event", "sendMessage"), 2, "--url"),
        (("hook", "add", "outgoing", "x", "--event", "nothing", "--url", "https://a.example/"), 2, "--event"),
        (
            ("hook", "add", "outgoing", "x", "--event", "sendMessage", "--url", "http://127.0.0.1:9/"),
            1,
            "reads PATCHBAY_ALLOW_TARGETS from its own environment",
        ),
        (
            ("hook", "add", "outgoing", "x", "--event", "roomCreated", "--trigger", "a", "--url", "https://a.example/"),
            2,
            "--trigger",
        ),
        (("hook", "edit", "first-hook"), 2, "Say what to change"),
        (("hook", "edit", "first-hook", "--sign"), 1, "outgoing hooks"),
        (("hook", "edit", "first", "--disable"), 1, "'first-hook'"),
        (("hook", "edit", "first-hook", "--ask-secret"), 2, "--secret-file"),
        (("hook", "remove", "first-hook"), 1, ""),
        (("user", "add", "owner"), 1, "already in use"),
        (("user", "add", "ben", "--role", "king"), 2, "--role"),
        (("user", "role", "nobody", "admin"), 1, "There is no user 'nobody'"),
        (("user", "role", "owner", "viewer"), 1, "last owner"),
        (("user", "disable", "owner"), 1, "owner cannot be deactivated"),
        (("user", "password", "owner"), 2, "--password-stdin"),
        (("user", "permit", "owner", "message-impersonate"), 2, "--grant"),
        (("token", "add", "nobody", "x"), 1, "There is no user"),
    ],
)
def test_refusals_are_one_sentence(folder: Path, arguments: tuple[str, ...], code: int, part: str) -> None:
    """What is refused ends with 1, wrong usage with 2, and the sentence says what was wrong."""
    result = CliRunner().invoke(cli, [*arguments, "--data", str(folder)])  # in this process: the table is long
    assert result.exit_code == code, result.output
    assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_hook_that_cannot_be_made_whole_is_not_made(folder: Path) -> None:
    """A wrong setting leaves no half-made hook behind."""
    before = done(patchbay("hook", "list", "--data", folder))
    refused(patchbay("hook", "add", "incoming", "x", "--room", "#general", "--dedup", "a b", "--data", folder), "dedup")
    assert done(patchbay("hook", "list", "--data", folder)) == before


@pytest.mark.parametrize(
    "arguments",
    [("user", "list"), ("hook", "list"), ("db", "check"), ("db", "migrate"), ("keys", "rotate"), ("db", "backup", "x")],
)
def test_a_folder_without_database_is_left_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A mistyped folder is refused by name, and nothing is made in it."""
    missing = tmp_path / "missing"
    result = CliRunner().invoke(cli, [*arguments, "--data", str(missing)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {missing}")
    assert not missing.exists()


def test_requests_are_shown_masked(server: ServerProcess) -> None:
    """The history of a hook shows what came and what became of it, and no secret (decision 33)."""
    made = json.loads(
        done(patchbay("hook", "add", "incoming", "ci", "--room", "#general", "--json", "--data", server.data))
    )
    at = ("--data", server.data)
    assert done(patchbay("hook", "requests", "ci", *at)) == "No request has come yet.\n"
    body = {"text": "hello", "api_key": "k3y"}
    assert eventually(lambda: ask(made["address"], body, {"X-Secret": "h3ader"})[0] == 200)
    printed = done(patchbay("hook", "requests", "ci", "--json", *at))
    [request] = json.loads(printed)
    assert (request["method"], request["verdict"], request["status"]) == ("POST", "posted", 200)
    assert request["body"] == {"text": "hello", "api_key": "***"}
    assert ["X-Secret", "***"] in request["headers"]
    assert "posted" in done(patchbay("hook", "requests", "ci", *at))


def test_config_shows_every_setting_but_no_secret() -> None:
    """Each value comes with its source; what is secret only tells that it is set."""
    printed = done(patchbay("config", "--json", settings={"PATCHBAY_OWNER_PASSWORD": PASSWORD, "PATCHBAY_PORT": "9"}))
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(printed)}
    assert rows["PATCHBAY_OWNER_PASSWORD"] == ("***", "environment")
    assert rows["PATCHBAY_PORT"] == (9, "environment")
    assert rows["PATCHBAY_HOST"] == ("127.0.0.1", "default")
    assert PASSWORD not in printed
    refused(patchbay("config", settings={"PATCHBAY_PROT": "1"}), "PATCHBAY_PROT is not a setting")


def test_help_names_every_command() -> None:
    """`patchbay --help` is the map of what there is."""
    printed = done(patchbay("--help"))
    for command in ("serve", "user", "token", "hook", "keys", "db", "config"):
        assert f"\n  {command} " in printed
