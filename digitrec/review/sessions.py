"""Who is there: links that let a person in once, and the sessions they open. All of it ends with the process."""

import hashlib
import secrets
from dataclasses import dataclass, field

from digitrec.storage.corrections import name_of

_MOST_LINKS = 50
"""Invitations nobody has used; the oldest goes."""


@dataclass(slots=True)
class Session:
    """A person at a browser."""

    who: str
    """Their name as they gave it."""
    done: int = 0
    """Answers judged, less those undone."""

    @property
    def name(self) -> str:
        """The name as it is shown, and kept with every judgement."""
        return name_of(self.who)


@dataclass(slots=True)
class Sessions:
    """Links and sessions, by the digest of what is secret: to look one up tells nothing about the others."""

    _links: dict[bytes, str] = field(default_factory=dict)
    _open: dict[bytes, Session] = field(default_factory=dict)

    def invite(self, who: str) -> str:
        """A secret that lets `who` in, once; UsageError if that is no name."""
        name_of(who)
        secret = secrets.token_urlsafe(32)
        while len(self._links) >= _MOST_LINKS:
            del self._links[next(iter(self._links))]
        self._links[_digest(secret)] = who
        return secret

    def enter(self, secret: str) -> str | None:
        """Use a link up; gives the secret of the new session, for the cookie. None if there is no such link."""
        who = self._links.pop(_digest(secret), None)
        if who is None:
            return None
        cookie = secrets.token_urlsafe(32)
        self._open[_digest(cookie)] = Session(who)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie."""
        return self._open.get(_digest(cookie))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
