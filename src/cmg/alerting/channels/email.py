"""E-mail over SMTP. A message that is sent twice has the same Message-ID; a group's messages are one thread."""

import asyncio
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate

import aiohttp

from cmg.alerting.channels.sending.message import Destination, Message, Refused, TryLater

_DEADLINE_S = 10.0


async def send(message: Message, to: Destination, session: aiohttp.ClientSession) -> str:
    """Settings `host`, `port`, `from`, `security` (starttls, tls, none), `username`; secret `password`."""
    del session
    mail = written(message, to)
    try:
        return await asyncio.to_thread(_deliver, mail, to)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _by_code(min(codes, default=550), "the recipient is refused") from error
    except smtplib.SMTPResponseException as error:
        raise _by_code(error.smtp_code, _said(error.smtp_error)) from error
    except (smtplib.SMTPException, OSError, ssl.SSLError) as error:
        raise TryLater(f"no connection to the mail server: {type(error).__name__}") from error


def written(message: Message, to: Destination) -> EmailMessage:
    """The mail. Raises `Refused` for an address that is none."""
    sender, receiver = _address(to.setting("from")), _address(to.to("to"))
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, receiver, " ".join(message.subject.split())
    mail["Date"] = formatdate(message.at)
    mail["Message-ID"] = f"<{message.reference}@{sender.domain}>"
    mail["References"] = f"<{message.group}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.severity in {"P1", "P2"} and not message.over:
        mail["Importance"] = "high"
    mail.set_content(f"{message.body}\n\nReference {message.reference}\n")
    return mail


def _address(text: str) -> Address:
    try:
        return Address(addr_spec=text)
    except Exception as error:  # whatever the parser makes of it, it is no address
        raise Refused(f"{text[:100]!r} is no mail address") from error


def _deliver(mail: EmailMessage, to: Destination) -> str:
    security, host = to.setting("security", "starttls"), to.setting("host")
    port = int(to.setting("port", "465" if security == "tls" else "587"))
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if security == "tls":
        server = smtplib.SMTP_SSL(host, port, timeout=_DEADLINE_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=_DEADLINE_S)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if to.settings.get("username"):
            server.login(to.setting("username"), to.secret("password"))
        server.send_message(mail)
    return str(mail["Message-ID"])


def _by_code(code: int, told: str) -> TryLater | Refused:
    """SMTP: 4xx is for now, 5xx for ever."""
    return TryLater(f"{code} {told}") if code < 500 else Refused(f"{code} {told}")


def _said(error: bytes | str) -> str:
    return (error.decode("utf-8", "replace") if isinstance(error, bytes) else error)[:200]
