"""Power by a switch with an HTTP interface: a rack PDU, a smart plug (Tasmota, Shelly), a relay board."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from contracts.errors import InfraError
from targets.options import Options, Pause, Seconds

_SHOWN: Final = 500


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://HOST/... or https://HOST/...")
    return url


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Url = Annotated[str, AfterValidator(_http)]


class PduOptions(Options):
    """URLs; `{outlet}` in them and in `body` becomes `outlet`. `state_on` is searched in the answer to `state`."""

    on: Url
    off: Url
    state: Url | None = None
    state_on: Annotated[str, AfterValidator(_pattern)] = r"(?i)\bon\b|\btrue\b"
    outlet: str | int = ""
    method: Literal["GET", "POST", "PUT"] = "GET"
    body: str | None = None
    headers: dict[str, str] = Field(default={})
    user: str | None = None
    password_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    timeout_s: Seconds = 5.0
    off_s: Pause = 1.0


class PduPower:
    """An outlet that two requests switch."""

    Options: ClassVar[type[BaseModel]] = PduOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, PduOptions)
        self.options = options
        self.label = f"outlet {options.outlet} of {urlsplit(options.off).hostname}".replace(
            "outlet  of", "the outlet of"
        )
        # The switch is on the lab's own network: the environment's proxy is not used.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _ask(self, template: str, method: str, timeout_s: float) -> str:
        options = self.options
        url = template.replace("{outlet}", str(options.outlet))
        body = None
        if options.body is not None and method != "GET":
            body = options.body.replace("{outlet}", str(options.outlet)).encode()
        request = urllib.request.Request(url, data=body, method=method, headers=dict(options.headers))  # noqa: S310
        if options.user is not None:
            password = os.environ.get(options.password_env, "") if options.password_env else ""
            token = b64encode(f"{options.user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                text: str = answer.read(65536).decode("utf-8", "replace")
                return text
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(65536).decode("utf-8", "replace").strip()[:_SHOWN]
            raise InfraError(
                f"the power switch refused {method} {url}",
                expected="a 2xx answer",
                seen=f"{error.code} {error.reason}: {said or 'no text'}",
                do="open that URL by hand; check `user`, `password_env` and `outlet` of this place",
            ) from error
        except (OSError, ValueError) as error:
            raise InfraError(
                f"the power switch does not answer {method} {url}",
                expected=f"an answer within {timeout_s:g} s",
                seen=str(error),
                do="check the switch's own power and network, and `power` of this place",
            ) from error

    def check(self) -> None:
        """Raise InfraError if the switch does not answer (queries its state) or its password is not set."""
        options = self.options
        if options.password_env is not None and options.password_env not in os.environ:
            raise InfraError(
                "the power switch's password is not set",
                expected=f"the environment variable {options.password_env}",
                seen="it is not set",
                do="set it in the environment of the lab's commands",
            )
        if options.state is not None:
            self._ask(options.state, "GET", min(options.timeout_s, 0.5))

    def on(self) -> None:
        """Switch the outlet on."""
        self._ask(self.options.on, self.options.method, self.options.timeout_s)

    def off(self) -> None:
        """Switch the outlet off, and wait `off_s`."""
        self._ask(self.options.off, self.options.method, self.options.timeout_s)
        time.sleep(self.options.off_s)

    def state(self) -> bool | None:
        """Query the state; None if the switch has no state URL."""
        if self.options.state is None:
            return None
        answer = self._ask(self.options.state, "GET", self.options.timeout_s)
        return re.search(self.options.state_on, answer) is not None
