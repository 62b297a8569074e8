"""`patchbay export` and `patchbay import` as operators use them, on a real data folder (decision 67)."""

import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlite_utils import Database

from bot.cli import cli, sealed_file
from tests.process import ServerProcess

PASSPHRASE = "canary passphrase of an export"
URL = "http://hooks.example.test/in?key=canary-url"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one hook of each direction beside the first start's."""
    folder = tmp_path / "data"
    with ServerProcess(folder):
        pass
    secret = tmp_path / "secret"
    secret.write_text("canary-signing-secret")
    run(folder, "hook", "add", "incoming", "ci", "--room", "#general", "--secret-file", str(secret))
    run(folder, "hook", "add", "outgoing", "deploys", "--event", "sendMessage", "--url", URL, "--sign")
    return folder


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    return str(file)


def patchbay(data: Path, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data", str(data)], input=stdin)


def run(data: Path, *arguments: str) -> str:
    """Run a command that succeeds and return what it prints on standard output."""
    done = patchbay(data, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def shown(data: Path) -> dict[str, Any]:
    """Return every hook with its secrets, as the encrypted export holds them."""
    file = data.parent / f"state-{time.monotonic_ns()}"
    code = data.parent / "state-passphrase"
    code.write_text(PASSPHRASE)
    run(data, "export", "--encrypted", "--passphrase-file", str(code), "-o", str(file))
    text = sealed_file.unseal(file.read_bytes(), PASSPHRASE)
    hooks = re.split(r"(?m)^(?:outgoing:.*\n)?  - ", text.partition("incoming:\n")[2])[1:]
    return {hook.partition("\n")[0]: hook.replace("outgoing:\n", "") for hook in hooks}


def test_a_masked_export_is_plain_and_only_its_owner_reads_it(data: Path, tmp_path: Path) -> None:
    """No secret in it, mode 0600, never over a file that is there, and importing it changes nothing."""
    file = tmp_path / "hooks.yaml"
    run(data, "export", "-o", str(file))
    text = file.read_text()
    assert "canary" not in text
    assert "hooks.example.test/***" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = patchbay(data, "export", "-o", str(file))
    assert (again.exit_code, "exists already" in again.output) == (1, True)
    assert "3 unchanged" in run(data, "import", str(file), "--yes")
    assert run(data, "export", "--noun", "in").count("- id:") == 2


def test_an_encrypted_export_brings_everything_back(data: Path, tmp_path: Path, passphrase: str) -> None:
    """Export, remove all, import: ids, tokens, secrets, addresses and keys are as they were."""
    before = shown(data)
    file = tmp_path / "hooks.sealed"
    run(data, "export", "--encrypted", "--passphrase-file", passphrase, "-o", str(file))
    assert b"canary" not in file.read_bytes()
    hooks = json.loads(run(data, "hook", "list", "--json"))
    for hook in hooks:
        run(data, "hook", "remove", hook["id"], "--yes")
    assert json.loads(run(data, "hook", "list", "--json")) == []
    told = run(data, "import", str(file), "--passphrase-file", passphrase, "--dry-run")
    assert told.startswith("Nothing was changed. The file holds 3 new.")
    assert json.loads(run(data, "hook", "list", "--json")) == []
    done = run(data, "import", str(file), "--passphrase-file", passphrase, "--yes")
    assert done.splitlines() == ["Done. Imported 3 new."]
    assert shown(data) == before
    assert any("canary-signing-secret" in block for block in before.values())


def test_it_moves_hooks_to_another_server(data: Path, tmp_path: Path, passphrase: str) -> None:
    """A second data folder takes the file of the first, secrets and all, beside its own hooks."""
    file = tmp_path / "hooks.sealed"
    run(data, "export", "--encrypted", "--passphrase-file", passphrase, "-o", str(file))
    other = tmp_path / "other"
    with ServerProcess(other):
        pass
    run(other, "import", str(file), "--passphrase-file", passphrase, "--yes")
    mine, theirs = shown(data), shown(other)
    assert mine.items() <= theirs.items()
    assert len(theirs) == len(mine) + 1


@pytest.mark.parametrize("spoil", ["passphrase", "byte", "cut", "version"])
def test_what_does_not_open_says_so_in_one_sentence(data: Path, tmp_path: Path, passphrase: str, spoil: str) -> None:
    """A wrong passphrase and a damaged file cannot be told apart; another version can."""
    file = tmp_path / "hooks.sealed"
    run(data, "export", "--encrypted", "--passphrase-file", passphrase, "-o", str(file))
    content = bytearray(file.read_bytes())
    match spoil:
        case "passphrase":
            Path(passphrase).write_text("another passphrase")
        case "byte":
            content[-5] ^= 1
        case "cut":
            content = content[:30]
        case _:
            content[len(sealed_file.MAGIC)] += 1
    file.write_bytes(content)
    done = patchbay(data, "import", str(file), "--passphrase-file", passphrase, "--yes")
    sentence = "This encrypted export is of another version of Patchbay." if spoil == "version" else sealed_file.WRONG
    assert done.exit_code == 1
    assert done.stderr == f"Error: {sentence}\n"


def test_new_hooks_are_shown_once_and_audited(data: Path, tmp_path: Path) -> None:
    """The importer reads the address of a new hook; the audit names the command and holds nothing of the file."""
    file = tmp_path / "new.yaml"
    file.write_text('patchbay: 1\nincoming:\n  - {name: night, rooms: ["#general"]}\n')
    done = json.loads(run(data, "import", str(file), "--yes", "--json"))
    [(hook_id, made)] = done["shown_once"].items()
    assert re.fullmatch(rf"http://\S+/hooks/{hook_id}/\S{{48}}", made["address"])
    assert done["done"] is True
    assert "1 unchanged" in run(data, "import", str(file))
    rows = list(Database(data / "patchbay.db").query("SELECT * FROM audit WHERE command = 'import' ORDER BY seq"))
    assert [(row["door"], row["line"], row["object_name"]) for row in rows] == [
        ("cli", "import FILE", "night"),
        ("cli", "import FILE", None),
    ]


def test_refusals_name_their_lines_and_write_nothing(data: Path, tmp_path: Path) -> None:
    """Exit code 1, every fault with its line, and the good hook beside them is not made either."""
    file = tmp_path / "bad.yaml"
    file.write_text('patchbay: 1\nincoming:\n  - {name: fine, rooms: ["#general"]}\n  - {name: lost, rooms: ["#no"]}\n')
    done = patchbay(data, "import", str(file), "--yes")
    assert done.exit_code == 1
    assert "line 4: rooms: Invalid room" in done.stderr
    assert "fine" not in run(data, "hook", "list")
    file.write_text("patchbay: &a 1\n")
    assert "Anchors and aliases" in patchbay(data, "import", str(file)).stderr


def test_wrong_usage_is_told(data: Path, tmp_path: Path, passphrase: str) -> None:
    """What cannot be asked is said, and a short passphrase is none."""
    file = tmp_path / "new.yaml"
    file.write_text('patchbay: 1\nincoming:\n  - {name: night, rooms: ["#general"]}\n')
    assert "use --yes" in patchbay(data, "import", str(file)).stderr
    assert "belongs to --encrypted" in patchbay(data, "export", "--passphrase-file", passphrase).stderr
    assert "not encrypted" in patchbay(data, "import", str(file), "--passphrase-file", passphrase).stderr
    assert "--passphrase-file" in patchbay(data, "export", "--encrypted").stderr
    Path(passphrase).write_text("short")
    short = patchbay(data, "export", "--encrypted", "--passphrase-file", passphrase, "-o", str(tmp_path / "x"))
    assert "at least 12 characters" in short.stderr
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (1024 * 1024 + 2000))
    assert "more than 1,048,576 bytes" in patchbay(data, "import", str(large)).stderr
