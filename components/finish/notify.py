"""Tell people how a run ended: a Slack-compatible webhook, a mail. Neither can fail a run, nor hold one up for long."""

import os
import smtplib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import quote

from berth.errors import BerthError
from berth.settings import Notify

_TIMEOUT_SECONDS = 10
"""Seconds that a server may take for any one answer."""
_DEADLINE = 30
"""Seconds for a whole notification, names looked up and all."""
_LONGEST = 1500
"""Letters of a reason that are sent: a message is to be read at a glance, and Slack takes 3,000."""


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    name: str
    run: str
    """The MLflow run's name."""
    status: str
    """FINISHED, FAILED or KILLED, as MLflow has it."""
    reason: str
    """The verdict with the gates that failed, or the error."""
    links: dict[str, str]
    """Addresses by what they show."""

    @property
    def blessed(self) -> bool:
        return self.status == "FINISHED" and self.reason == "BLESSED"

    @property
    def headline(self) -> str:
        head, _, rest = self.reason.partition(":")
        verdict = head if rest or head == "BLESSED" else ""
        return f"{self.name}: {verdict if self.status == 'FINISHED' and verdict else self.status}"

    @property
    def detail(self) -> str:
        text = self.reason
        if self.status == "FINISHED":
            text = text.partition(":")[2] if ":" in text else "" if text == "BLESSED" else text
        text = " ".join(text.split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def tell(settings: Notify, ending: Ending) -> list[str]:
    """Send what `settings` ask for; return a line for each notification that could not be sent, without secrets."""
    wanted = {"failure": ending.status == "FAILED", "blessed": ending.blessed, "always": True}
    if not settings.on or not wanted[settings.on]:
        return []
    ways: dict[str, Callable[[], None]] = {}
    if settings.webhook:
        ways["webhook"] = lambda: _post(settings.webhook.removeprefix("env:"), slack_message(ending))
    if settings.smtp_host:
        ways["mail"] = lambda: _mail(settings, mail(settings, ending))
    return [f"the {way} was not sent: {reason}" for way, send in ways.items() if (reason := _trouble(send))]


def slack_message(ending: Ending) -> dict[str, object]:
    """Return the message in Slack's form: a text for notifications, and blocks for the channel."""
    links = " · ".join(f"<{quote(url, safe=_URL)}|{_mrkdwn(title)}>" for title, url in ending.links.items())
    lines = [f"*{_mrkdwn(ending.headline)}*", *filter(None, [_mrkdwn(ending.detail), links])]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)}}
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": _mrkdwn(ending.run)}]}
    return {"text": _mrkdwn(ending.headline), "blocks": [section, context]}


def mail(settings: Notify, ending: Ending) -> EmailMessage:
    """Return the same as a mail of plain text."""
    message = EmailMessage()
    message["Subject"] = f"[berth] {ending.headline}"
    message["From"] = settings.smtp_from
    message["To"] = ", ".join(settings.smtp_to)
    links = [f"{title}: {url}" for title, url in ending.links.items()]
    message.set_content("\n".join([ending.headline, *filter(None, [ending.detail]), "", f"run: {ending.run}", *links]))
    return message


_URL = "/:?#[]@!$'()*+,;=%&-._~"


def _mrkdwn(text: str) -> str:
    """Return `text` so that Slack shows it: no link, and nobody called to the channel by <!channel>."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _trouble(send: Callable[[], None]) -> str:
    """Do `send`, for `_DEADLINE` seconds at most; return why it came to nothing, empty if it did not."""
    outcome = [f"no end after {_DEADLINE} s"]

    def try_it() -> None:
        try:
            send()
            outcome[0] = ""
        except BerthError as error:
            outcome[0] = str(error)
        except Exception as error:  # of whatever kind: its text may hold an address, which is a secret
            outcome[0] = type(error).__name__

    # A time limit of its own: those of the libraries are for one answer each, and none is for looking up a name.
    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(_DEADLINE)
    return outcome[0]


def _post(variable: str, message: dict[str, object]) -> None:
    import requests

    address = os.environ.get(variable, "").strip()
    if not address.startswith(("http://", "https://")):
        found = "holds no http address" if address else "is not set"
        raise BerthError(f"the variable {variable} {found}.")
    try:
        # A redirect is not followed: the address is the credential, and who answers could send it anywhere.
        with requests.post(
            address, json=message, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            if not 200 <= answer.status_code < 300:
                raise BerthError(f"it answered {answer.status_code}.")
    except requests.Timeout:
        raise BerthError(f"no answer within {_TIMEOUT_SECONDS} s.") from None
    except requests.ConnectionError:
        raise BerthError("nothing answers there.") from None


def _mail(settings: Notify, message: EmailMessage) -> None:
    """Send `message`; BerthError says in a line why not."""
    context = ssl.create_default_context()
    try:
        _send(settings, message, context)
    except smtplib.SMTPResponseException as error:
        raise BerthError(f"the server answered {error.smtp_code}.") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        raise BerthError(f"the server refuses the recipients ({', '.join(map(str, codes))}).") from None
    except smtplib.SMTPServerDisconnected:
        raise BerthError(f"the server hung up, or gave no answer within {_TIMEOUT_SECONDS} s.") from None
    except smtplib.SMTPException as error:
        raise BerthError(f"the server does not go along ({type(error).__name__}).") from None
    except ssl.SSLError as error:
        raise BerthError(f"its certificate is not trusted ({error.reason}).") from None
    except TimeoutError:
        raise BerthError(f"no answer within {_TIMEOUT_SECONDS} s.") from None
    except OSError as error:
        raise BerthError(f"the server cannot be reached ({error.strerror or type(error).__name__}).") from None


def _send(settings: Notify, message: EmailMessage, context: ssl.SSLContext) -> None:
    user, password = os.environ.get("BERTH_SMTP_USER", ""), os.environ.get("BERTH_SMTP_PASSWORD", "")
    with (
        smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_SECONDS, context=context)
        if settings.smtp_port == 465
        else smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=_TIMEOUT_SECONDS)
    ) as server:
        server.ehlo()
        secure = settings.smtp_port == 465
        if not secure and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
            secure = True
        if user:
            if not secure:
                raise BerthError("the server offers no TLS, and a password is not sent without.")
            server.login(user, password)
        server.send_message(message)
