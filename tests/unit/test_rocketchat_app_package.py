"""The package of the native App: what `patchbay rocketchat-app build` writes (rocketchat.md §11.1, decisions 4, 63)."""

import json
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.cli.address import remember_address
from bot.folder import Folder
from tests.process import ROOT

URL = "https://hooks.example.test/patchbay"
UUID_V4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
VERSION = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATCHBAY_BASE_URL", raising=False)


def build(target: Path, *options: str) -> str:
    """Build a package and return what was said."""
    result = CliRunner().invoke(cli, ["rocketchat-app", "build", "-o", str(target), *options])
    assert result.exit_code == 0, result.output
    return result.output


def manifest_of(package: Path) -> dict[str, Any]:
    with zipfile.ZipFile(package) as opened:
        found: dict[str, Any] = json.loads(opened.read("app.json"))
    return found


def test_the_manifest_has_the_form_the_packager_checks() -> None:
    """Keys, patterns and lengths are those of the packager's schema."""
    manifest = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
    assert re.fullmatch(UUID_V4, manifest["id"])
    assert re.fullmatch(r"[a-z-]{3,}", manifest["nameSlug"])
    assert re.fullmatch(VERSION, manifest["version"])
    assert re.fullmatch(r"\^" + VERSION, manifest["requiredApiVersion"])
    assert {"name", "description"} <= manifest.keys()
    assert {"name", "support"} <= manifest["author"].keys()
    assert manifest["classFile"].endswith(".ts")
    assert manifest["iconFile"].endswith(".png")
    assert [set(permission) for permission in manifest["permissions"]] == [{"name"}] * 5


def test_the_app_has_the_version_of_the_server() -> None:
    """A Rocket.Chat server offers an update when this number grows, so it must grow with ours."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert json.loads((ROOT / "app.json").read_text(encoding="utf-8"))["version"] == project["version"]


def test_the_package_holds_manifest_class_icon_and_texts(tmp_path: Path) -> None:
    """What the manifest names is in the package under that name, the class as compiled JavaScript."""
    package = tmp_path / "app.zip"
    build(package, "--url", URL)
    manifest = manifest_of(package)
    with zipfile.ZipFile(package) as opened:
        names = opened.namelist()
        icon = opened.read(manifest["iconFile"])
    assert sorted(names) == sorted(
        ["app.json", manifest["classFile"].removesuffix(".ts") + ".js", manifest["iconFile"], "i18n/en.json"]
    )
    assert icon.startswith(b"\x89PNG\r\n\x1a\n")


def test_the_package_brings_the_address_and_not_what_deployers_read(tmp_path: Path) -> None:
    """The address is the default of a setting; the list of our environment variables stays at home."""
    package = tmp_path / "app.zip"
    said = build(package, "--url", URL + "/")
    manifest = manifest_of(package)
    assert manifest["serverUrl"] == URL
    assert "env" not in manifest
    assert URL in said


def test_without_an_address_the_one_of_the_last_server_is_used(tmp_path: Path) -> None:
    """A server that ran in the data folder left its address there."""
    data, package = tmp_path / "data", tmp_path / "app.zip"
    data.mkdir()
    remember_address(Folder(data), "https://left.example.test")
    build(package, "--data", str(data))
    assert manifest_of(package)["serverUrl"] == "https://left.example.test"


def test_the_same_files_give_the_same_package(tmp_path: Path) -> None:
    """Two builds differ in no byte, so a package can be compared with a published one."""
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    build(one, "--url", URL)
    build(two, "--url", URL)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--url", "hooks.example.test"), "--url: "),
        (("--url", "https://hooks.example.test/?a=b"), "--url: must be a plain address"),
    ],
)
def test_a_wrong_address_is_refused_in_a_sentence(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    """The sentence names the option, and nothing is written."""
    package = tmp_path / "app.zip"
    result = CliRunner().invoke(cli, ["rocketchat-app", "build", "-o", str(package), *options])
    assert result.exit_code == 1
    assert sentence in result.output
    assert not package.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is not there ends in a sentence."""
    package = tmp_path / "missing" / "app.zip"
    result = CliRunner().invoke(cli, ["rocketchat-app", "build", "-o", str(package), "--url", URL])
    assert result.exit_code == 1
    assert f"{package}: No such file or directory." in result.output


def test_every_text_the_app_names_is_translated() -> None:
    """A key without a text would be shown as it is."""
    folder = ROOT / "handlers" / "chat" / "rocketchat_app"
    code = (folder / "PatchbayApp.js").read_text(encoding="utf-8")
    texts = json.loads((folder / "i18n" / "en.json").read_text(encoding="utf-8"))
    ids = dict(re.findall(r"(\w+): '(\w+_\w+)'", re.search(r"const SETTING = \{(.*?)\}", code)[1]))  # type: ignore[index]
    used = {*ids.values(), *(f"{each}_description" for each in ids.values())}
    used |= set(re.findall(r"i18n\w+: '(\w+)'", code))
    assert set(texts) == used


def test_the_engines_lock_pins_by_hash_and_names_no_address() -> None:
    """The engine the App is tested in is the same everywhere, from whichever registry it comes (decision 3)."""
    folder = ROOT / "tests" / "scenarios" / "clients" / "apps_engine"
    text = (folder / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    root, *packages = json.loads(text)["packages"].values()
    assert root["devDependencies"] == json.loads((folder / "package.json").read_text())["devDependencies"]
    assert packages
    assert all(each["integrity"].startswith("sha512-") for each in packages)
