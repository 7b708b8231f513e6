"""Addresses as they may be shown: a message must have no password and no token."""

import re
from urllib.parse import quote, unquote


def shown(address: str) -> str:
    """An address without its password or token, and without its query, as pip shows it:
    https://user:****@host, or https://****@host for a user alone, which may be a token.

    It rather takes away too much: addresses may lack their scheme, and passwords have any letters.
    """
    start = re.match(r"(\w+:)?//", address)
    scheme = start[0] if start else ""
    user, at, rest = address.removeprefix(scheme).rpartition("@")
    if not at and scheme and re.match(r"[^/?#:\[]*:(?!\d*([/?#]|$))", rest):
        user, rest = rest, ""  # no port, but a password that was cut off at a space
    if user:
        name, _, password = user.partition(":")
        user = f"{name}:****" if password and re.fullmatch(r"[\w.+%-]*", name) else "****"
    place, mark, query = re.split("([?#]|$)", rest, maxsplit=1)
    return f"{scheme}{user}{at}{place}{mark}{'****' if query else ''}"


def redacted(text: str) -> str:
    """A text with the addresses in it as `shown`, as far as one can tell where they end."""
    text = re.sub(r"(//|(?<![^\s'\"]))([^\s:]*):(?!//)\S+@", r"\1\2:****@", text)
    text = re.sub(r"(//(?=[^\s:]+:?@)|(?<![^\s'\"])(?=[^\s:/]+:?@))[^\s:]+:?@", r"\1****@", text)
    return re.sub(r"(//[^\s'\"?]*\?)[^\s'\"]+(?<!:)", r"\1****", text)


def secrets(address: str) -> set[str]:
    """What `shown` leaves out, as libraries may write it."""
    start = re.match(r"(\w+:)?//", address)
    user, _, rest = address[start.end() if start else 0 :].rpartition("@")
    found = {user, user.partition(":")[2], rest.partition("?")[2]}
    return {form(text) for text in found for form in (str, quote, unquote)} - {""}
