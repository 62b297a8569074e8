"""`/avatar/NAME`: the picture of a user, drawn from the name alone (the `avatarUrl` of `rocketchat.md` §2)."""

import hashlib

from aiohttp import web

AVATAR = "/avatar/{name}"

_HEADERS = {
    "Content-Type": "image/svg+xml",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "public, max-age=3600",
}


async def avatar(request: web.Request) -> web.Response:
    """Answer with a picture for any name: who asks does not learn whether a user has it."""
    name = request.match_info["name"].removesuffix(".svg")
    return web.Response(body=draw(name).encode(), headers=_HEADERS)


def draw(name: str) -> str:
    """Return an SVG drawing: the name's first letter or digit on a colour that follows from the whole name."""
    # letters and digits only: nothing a name holds can be read as markup
    letter = next((char for char in name if char.isalnum()), "?").upper()
    digest = hashlib.blake2b(name.lower().encode("utf-8", "surrogatepass"), digest_size=2).digest()
    hue = int.from_bytes(digest) % 360
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200" viewBox="0 0 200 200">'
        f'<rect width="200" height="200" fill="hsl({hue},45%,42%)"/>'
        '<text x="100" y="100" fill="#fff" font-family="sans-serif" font-size="110" text-anchor="middle"'
        f' dominant-baseline="central">{letter}</text></svg>'
    )
