"""Settings: one class, the same list in `app.json`, and faults that name the variable."""

import json
from pathlib import Path

import pytest

from bot.settings import PREFIX, Settings, SettingsFault, load

APP_JSON = Path(__file__).resolve().parents[2] / "app.json"


def test_app_json_lists_every_setting_with_its_text_and_default() -> None:
    """Deployers read `app.json`: it says what the settings class says, no more and no less."""
    listed = json.loads(APP_JSON.read_text())["env"]
    own = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}
    assert sorted(listed) == sorted(own)
    for name, field in own.items():
        assert listed[name]["description"] == field.description
        assert listed[name]["required"] is False
        default = field.default
        shown = "" if default is None or default == () else str(default)
        assert listed[name].get("value", "") == shown


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("PATCHBAY_PROT", "8084", "PATCHBAY_PROT is not a setting"),
        ("PATCHBAY_PORT", "eighty", "PATCHBAY_PORT: "),
        ("PATCHBAY_PORT", "70000", "PATCHBAY_PORT: "),
        ("PATCHBAY_ALLOW_TARGETS", "0.0.0.0/0", "PATCHBAY_ALLOW_TARGETS: '0.0.0.0/0' opens more than"),
        ("PATCHBAY_ALLOW_TARGETS", "0.0.0.0/1,128.0.0.0/1", "PATCHBAY_ALLOW_TARGETS: '0.0.0.0/1' opens more than"),
        ("PATCHBAY_ALLOW_TARGETS", "::/1", "PATCHBAY_ALLOW_TARGETS: '::/1' opens more than"),
        ("PATCHBAY_ALLOW_TARGETS", "::1:80", "PATCHBAY_ALLOW_TARGETS: '::1:80' may be an address or"),
        ("PATCHBAY_ALLOW_TARGETS", "10.0.0.0/99", "PATCHBAY_ALLOW_TARGETS: '10.0.0.0/99' is not an address"),
        ("PATCHBAY_TRUSTED_PROXIES", "10.0.0.0/99", "PATCHBAY_TRUSTED_PROXIES"),
        ("PATCHBAY_ENCRYPTION_KEY", "c2hvcnQ=", "PATCHBAY_ENCRYPTION_KEY"),
        ("PATCHBAY_OWNER_PASSWORD", "short", "PATCHBAY_OWNER_PASSWORD"),
        ("PATCHBAY_OWNER_EMAIL", "nobody", "PATCHBAY_OWNER_EMAIL: must be an e-mail address."),
        (
            "PATCHBAY_OWNER_USERNAME",
            "olga o",
            "PATCHBAY_OWNER_USERNAME: olga o is not a valid username: use up to 64 letters, digits, . _ and -.",
        ),
        ("PATCHBAY_OWNER_USERNAME", "all", "PATCHBAY_OWNER_USERNAME: all is blocked and can't be used!"),
        ("PATCHBAY_OWNER_USERNAME", "Rocket.Cat", "PATCHBAY_OWNER_USERNAME: rocket.cat is the name of the bot"),
        ("PATCHBAY_TIME_ZONE", "Europe/Atlantis", "PATCHBAY_TIME_ZONE"),
        *(
            ("PATCHBAY_BASE_URL", value, "PATCHBAY_BASE_URL: ")
            for value in (
                "chat.example.test",
                "https://",
                "https:///chat",
                "https://:8084",
                "https://ann@chat.example.test",
                "https://ann:secret@chat.example.test",
                "https://chat.example.test?x=1",
                "https://chat.example.test/#top",
                "https://chat.example.test/a b",
                " https://chat.example.test",
                "https://chat.example.test\n",
                "https://chat.example.test:http",
                "https://[::1",
            )
        ),
        ("PATCHBAY_LOG_LEVEL", "loud", "PATCHBAY_LOG_LEVEL"),
        ("PATCHBAY_MAX_BODY_BYTES", "0", "PATCHBAY_MAX_BODY_BYTES"),
    ],
)
def test_an_unknown_or_wrong_setting_is_a_fault_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    """The start stops with a sentence that names the variable and never repeats a secret value."""
    monkeypatch.setenv(name, value)
    fault = load()
    assert isinstance(fault, SettingsFault)
    assert text in fault.text
    assert fault.text.count(text[: text.find(":")]) == 1
    assert fault.text.endswith((".", "!"))
    assert not fault.text.endswith(("..", "!."))
    if name in ("PATCHBAY_ENCRYPTION_KEY", "PATCHBAY_OWNER_PASSWORD"):
        assert value not in fault.text


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed for one start counts more than what the environment says."""
    monkeypatch.setenv("PATCHBAY_PORT", "9000")
    found = load({"port": 9001})
    assert isinstance(found, Settings)
    assert found.port == 9001


@pytest.mark.parametrize(
    ("host", "base_url", "expected"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8084"),
        ("::1", None, "http://[::1]:8084"),
        ("127.0.0.1", "https://chat.example.test/", "https://chat.example.test"),
        ("127.0.0.1", "https://example.test:8443/chat/", "https://example.test:8443/chat"),
        ("127.0.0.1", "http://[::1]:8084", "http://[::1]:8084"),
    ],
)
def test_the_base_address_is_the_set_one_or_made_of_host_and_port(
    host: str, base_url: str | None, expected: str
) -> None:
    """Absolute addresses come from the settings, never from a request (decision 27)."""
    assert Settings(host=host, base_url=base_url).url() == expected
