"""E-mail over SMTP: text and HTML, one Message-ID a notification, one thread an episode.

An answer of 4yz is tried again, 5yz is not (RFC 5321, section 4.2.1).
"""

from __future__ import annotations

import html
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate

from alerts.channels.address import Resolve, UnsafeAddress, check_host, resolve
from alerts.channels.base import Failed, Outcome, Retry, Sent
from alerts.notification import Notification
from alerts.plot import bar_plot
from alerts.words import bars, clean, facts, headline, mark, member_lines, plain_text


def compose(n: Notification, sender: str, recipients: tuple[str, ...], now_ms: int) -> EmailMessage:
    """The message. The first of an episode is the parent of all later ones."""
    domain = sender.rpartition("@")[2] or "driftd"
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = f"[driftd] {headline(n)}"
    message["Date"] = formatdate(now_ms / 1000.0)
    message["Message-ID"] = f"<{n.key}@{domain}>"
    parent = f"<{n.thread.replace(':', '.')}@{domain}>"
    message["References"] = parent
    message["In-Reply-To"] = parent
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(plain_text(n))
    message.add_alternative(_html(n), subtype="html")
    if (shares := bars(n.evidence)) is not None:
        page = message.get_payload()[1]  # type: ignore[index]
        page.add_related(bar_plot(shares[1], shares[2]), "image", "png", cid="<plot@driftd>")  # type: ignore[union-attr]
    return message


def _html(n: Notification) -> str:
    parts = [f"<h2>{html.escape(mark(n) + ' ' + headline(n))}</h2>"]
    if n.is_note:
        parts += [f"<p>{html.escape(clean(line, 500))}</p>" for line in n.comment.splitlines()]
    else:
        rows = "".join(f"<tr><th align='left'>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts(n))
        parts.append(f"<table cellpadding='4'>{rows}</table>")
        if members := member_lines(n):
            parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in members) + "</ul>")
        if bars(n.evidence) is not None:
            parts.append("<p><img src='cid:plot@driftd' alt='shares before (grey) and now (red)' width='480'></p>")
    for name, url in n.links.items():
        if url.startswith(("https://", "http://")):
            parts.append(f"<p><a href='{html.escape(url)}'>{html.escape(clean(name))}</a></p>")
    return f"<html><body>{''.join(parts)}<p><small>alert {n.alert[:8]}</small></p></body></html>"


@dataclass(frozen=True, slots=True, repr=False)
class EmailChannel:
    """security: "starttls" (default), "tls" or "none"; "none" wants allow_private, as it sends everything in the clear."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    username: str = ""
    password: str = ""
    security: str = "starttls"
    timeout_s: float = 10.0
    allow_private: bool = False
    resolve: Resolve = resolve
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        try:
            addresses = check_host(self.host, self.port, self.allow_private, self.resolve)
        except UnsafeAddress as error:
            return Failed(str(error))
        except (OSError, UnicodeError) as error:
            return Retry(None, f"cannot resolve {self.host}: {error}")
        message = compose(notification, self.sender, self.recipients, now_ms)
        try:
            with self._connect(addresses[0]) as server:
                if self.security == "starttls":
                    server.starttls(context=self.context())
                if self.username:
                    server.login(self.username, self.password)
                refused = server.send_message(message, self.sender, list(self.recipients))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return _outcome(min(codes), "no recipient was accepted")
        except smtplib.SMTPResponseException as error:
            return _outcome(error.smtp_code, type(error).__name__)
        except ssl.SSLCertVerificationError as error:
            return Failed(f"the certificate of {self.host} is not valid: {error.verify_message}")
        except smtplib.SMTPNotSupportedError as error:
            return Failed(f"{self.host} does not support what the config asks for: {error}")
        except (OSError, smtplib.SMTPException) as error:
            return Retry(None, f"the mail server could not be reached: {type(error).__name__}")
        if refused:
            return Failed(f"{len(refused)} of {len(self.recipients)} recipients were refused; the others have it")
        return Sent()

    def _connect(self, ip: str) -> smtplib.SMTP:
        """To the checked address; the certificate is checked against the configured host."""
        host = self.host

        class Plain(smtplib.SMTP):
            def _get_socket(self, _: str, port: int, timeout: float) -> socket.socket:
                return socket.create_connection((ip, port), timeout)

        if self.security != "tls":
            return Plain(host, self.port, timeout=self.timeout_s)
        context = self.context()

        class Tls(smtplib.SMTP_SSL):
            def _get_socket(self, _: str, port: int, timeout: float) -> ssl.SSLSocket:
                raw = socket.create_connection((ip, port), timeout)
                return context.wrap_socket(raw, server_hostname=host)

        return Tls(host, self.port, timeout=self.timeout_s, context=context)


def _outcome(code: int, text: str) -> Outcome:
    why = f"the mail server answered {code}: {text}"
    return Retry(None, why) if 400 <= code < 500 else Failed(why)
