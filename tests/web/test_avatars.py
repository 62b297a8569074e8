"""Pictures of users, drawn by the server: what `avatarUrl` of `login` and `me` points at (`rocketchat.md` §2)."""

from xml.etree import ElementTree

import pytest

from tests.server import Server

TEXT = "{http://www.w3.org/2000/svg}text"


async def picture(server: Server, address: str) -> tuple[str, str]:
    """Get a picture as a stranger; returns the letter on it and the whole drawing."""
    async with server.http.get(address) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "image/svg+xml"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        drawing = await response.text()
    letter = ElementTree.fromstring(drawing).findtext(TEXT)
    assert letter is not None
    return letter, drawing


async def test_the_address_in_me_is_a_picture(server: Server) -> None:
    """Clients show `avatarUrl` without any login."""
    assert (await picture(server, (await server.get("me"))["avatarUrl"]))[0] == "O"


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("rocket.cat", "R"),
        ("_ann", "A"),
        ("%C3%A9va", "É"),
        ("nobody-has-this-name", "N"),
        ("...", "?"),
        ("%3Cscript%3E", "S"),
        ("%26%3C%22", "?"),
        ("%FF%ED%A0%80", "F"),
        ("%00", "?"),
        ("x" * 5000, "X"),
    ],
)
async def test_every_name_has_a_picture(server: Server, name: str, letter: str) -> None:
    """Whether somebody has the name makes no difference, and no name breaks out of the drawing."""
    plain = await picture(server, f"{server.url}/avatar/{name}")
    assert plain[0] == letter
    assert await picture(server, f"{server.url}/avatar/{name}.svg?size=40") == plain


async def test_people_are_told_apart_by_colour(server: Server) -> None:
    """The colour follows the whole name, whatever its case."""
    drawings = [(await picture(server, f"{server.url}/avatar/{name}"))[1] for name in ("ann", "ANN", "alf")]
    assert drawings[0] == drawings[1] != drawings[2]
