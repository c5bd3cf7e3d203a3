"""Requests to an OpenAI-compatible chat endpoint: retried where that helps, refused in one sentence where it does not.

What comes back is a stranger's: its size is bounded, it is shown only escaped, and the key is struck out of it.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from ...errors import ConfigError, JudgeError
from ...runs.text import visible

ATTEMPTS = 6
"""Of one request, the first included; the pauses between them double from one second."""
LONGEST_PAUSE = 60.0
"""Seconds; also of a pause that the endpoint asks for."""
MAX_BYTES = 4 << 20
_PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may well be answered."""
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses that may be meant for one text (too long, filtered) rather than for all of them."""
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """What the endpoint said, and the tokens that it counts for it (None: it does not tell)."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class RefusedRequest(Exception):  # noqa: N818 - no fault of the program: kept as the reason that there is no verdict
    """The endpoint does not take this one request; others were answered."""


class _Passing(Exception):  # noqa: N818
    """It went wrong in a way that may pass."""

    def __init__(self, reason: str, pause: float | None = None, *, before_any_reply: bool = True) -> None:
        super().__init__(reason)
        self.pause = pause
        """Seconds that the endpoint asks to wait."""
        self.before_any_reply = before_any_reply
        """Whether waiting makes sense while nothing has been heard from this endpoint yet."""


def checked_url(text: str) -> str:
    """The base address of an endpoint. Raises ConfigError for one that is none, or that carries a secret."""
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that do not close
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the judge's address must start with http:// or https://, such as http://localhost:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "the judge's address is written into the results, so it must hold no user, password or query: put the key "
            "into an environment variable and name that with --judge-key-env"
        )
    return text.rstrip("/").removesuffix("/chat/completions")


@dataclass
class ChatClient:
    """One endpoint; may be used by several threads."""

    url: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    """Seconds for one attempt."""
    first_pause: float = 1.0
    """Seconds before the second attempt."""
    requests: int = 0
    """Sent so far, repeated ones included."""
    retries: int = 0
    _heard: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    _http: httpx2.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = {"User-Agent": "preftune"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        # No redirects are followed: the key is for the address that was named.
        self._http = httpx2.Client(headers=headers, timeout=self.timeout, follow_redirects=False)

    def stop(self) -> None:
        """No further attempts, in any thread; pauses end. Requests that are under way get their reply or time out."""
        self._stopped.set()

    def close(self) -> None:
        """Give the connections back, when no request is under way any more."""
        self._http.close()

    def complete(self, body: Mapping[str, Any]) -> Reply:
        """The reply to a chat request.

        Raises:
            JudgeError: the endpoint cannot be used.
            RefusedRequest: it does not take this request, but has answered others.
        """
        for attempt in range(ATTEMPTS):
            try:
                reply = self._once(body)
                self._heard = True
                return reply
            except _Passing as fault:
                hopeless = not (self._heard or fault.before_any_reply)
                if hopeless or attempt == ATTEMPTS - 1 or self._stopped.is_set():
                    tries = f" ({attempt + 1} attempts)" if attempt else ""
                    raise JudgeError(f"{self.url}: {fault}{tries}") from None
                self._pause(attempt, fault.pause)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, attempt: int, asked: float | None) -> None:
        with self._lock:
            self.retries += 1
        wait = self.first_pause * 2**attempt * random.uniform(1, 1.25) if asked is None else asked  # noqa: S311
        if self._stopped.wait(min(wait, LONGEST_PAUSE)):
            raise JudgeError(f"{self.url}: stopped")

    def _once(self, body: Mapping[str, Any]) -> Reply:
        with self._lock:
            self.requests += 1
        try:
            status, headers, raw = self._post(body)
        except httpx2.TimeoutException:
            raise _Passing(f"no reply within {self.timeout:g} seconds (--timeout)") from None
        except httpx2.ConnectError as error:
            reason = f"cannot be reached: {visible(str(error))}. Is the server running, and the address right?"
            raise _Passing(reason, before_any_reply=False) from None
        except httpx2.TransportError as error:
            raise _Passing(f"the connection broke: {visible(str(error)) or type(error).__name__}") from None
        except httpx2.DecodingError as error:
            raise _Passing(f"the reply cannot be decompressed: {visible(str(error))}", before_any_reply=False) from None
        except httpx2.InvalidURL as error:
            raise JudgeError(f"{self.url}: {visible(str(error))}") from None
        if status == 200:
            return self._reply(raw)
        raise self._fault(status, headers, raw, body)

    def _post(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        deadline, raw = time.monotonic() + self.timeout, bytearray()
        content = json.dumps(body).encode()
        with self._http.stream(
            "POST", f"{self.url}/chat/completions", content=content, headers={"Content-Type": "application/json"}
        ) as response:
            for chunk in response.iter_bytes():
                raw += chunk
                if len(raw) > MAX_BYTES:
                    raise _Passing(f"the reply is longer than {MAX_BYTES >> 20} MiB", before_any_reply=False)
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("slow reply")
            return response.status_code, response.headers, bytes(raw)

    def _reply(self, raw: bytes) -> Reply:
        try:
            value = json.loads(raw)
            content = value["choices"][0]["message"].get("content")
            if not isinstance(content, str | None):
                raise TypeError("the content is not text")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            reason = f"the reply is no chat completion: {self._told(raw)!r}. Does the address end with /v1?"
            raise _Passing(reason, before_any_reply=False) from None
        usage = value.get("usage")
        counts = [
            usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")
        ]
        return Reply(self._without_key(content or ""), *(c if isinstance(c, int) and c >= 0 else None for c in counts))

    def _fault(self, status: int, headers: Mapping[str, str], raw: bytes, body: Mapping[str, Any]) -> Exception:
        told = f"answered {status}: {self._told(raw)}"
        if status in _PASSING or status >= 500:
            return _Passing(told, _seconds(headers.get("Retry-After")))
        if status in _ABOUT_THE_REQUEST and self._heard:
            return RefusedRequest(told)
        advice = {
            401: "set the key that the endpoint wants in the variable that --judge-key-env names"
            if self.key is None
            else "the key is not accepted",
            403: "the key may not be used for this",
            404: f"is the address right (it often ends with /v1), and does it serve the model {body['model']!r}?",
        }.get(status, "the address redirects: name the one it leads to" if 300 <= status < 400 else "")
        return JudgeError(f"{self.url} {told}" + (f" ({advice})" if advice else ""))

    def _told(self, raw: bytes) -> str:
        """The endpoint's own words: its error message, or the start of what it sent."""
        text = raw.decode("utf-8", "replace")
        try:
            value = json.loads(text)
            error = value["error"] if "error" in value else value["detail"]
            text = error["message"] if isinstance(error, dict) else error
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        return visible(" ".join(self._without_key(str(text)).split())[:_SHOWN]) or "(nothing)"

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def _seconds(text: str | None) -> float | None:
    """A Retry-After header in seconds; its other form, a date, counts as none."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
