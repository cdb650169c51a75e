"""Notifications, sent to real servers on loopback: an HTTP server, and a mail server with and without TLS."""

import base64
import http.server
import json
import socket
import socketserver
import ssl
import threading

import pytest
import trustme

from berth.errors import BerthError
from berth.settings import Notify
from berth.tracking import pipeline_run, run_tree
from berth.tracking.step_run import step_run
from components.finish import notify
from components.finish.notify import Ending, slack_message, tell
from components.finish.step import finish_run

BLESSED = Ending("sms-spam", "sms-spam-1", "FINISHED", "BLESSED", {"MLflow": "http://mlflow/#/x?a=1&b=2"})
REFUSED = Ending("sms-spam", "sms-spam-1", "FINISHED", "NOT BLESSED: accuracy 0.5 is below 0.9; f1 0.4 < 0.8", {})
FAILED = Ending("sms-spam", "sms-spam-1", "FAILED", "ingest: no column 'x'.", {})
KILLED = Ending("sms-spam", "sms-spam-1", "KILLED", "", {})
SECRET = "T0K3N"


@pytest.fixture
def webhook(monkeypatch):
    """An HTTP server: `requests` it got, `answer` it gives (None: it says nothing)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.requests.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            if self.server.answer is None:
                self.server.hung.wait(20)
                return
            self.send_response(self.server.answer)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()

        def log_message(self, *_): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.answer, server.hung = [], 200, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("BERTH_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/{SECRET}")
    yield server
    server.hung.set()
    server.shutdown()
    server.server_close()


class MailHandler(socketserver.StreamRequestHandler):
    """Enough of SMTP for smtplib: EHLO, STARTTLS, AUTH PLAIN, one message."""

    def handle(self):
        self.say("220 mail")
        secure = False
        while line := self.rfile.readline().decode().strip():
            self.server.lines.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO":
                offers = ["STARTTLS"] if self.server.context and not secure else []
                for extension in ["mail", *offers, "AUTH PLAIN"][:-1]:
                    self.say(f"250-{extension}")
                self.say("250 AUTH PLAIN")
            elif verb == "STARTTLS":
                self.say("220 go on")
                self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
                secure = True
            elif verb == "AUTH":
                self.say("235 welcome")
            elif verb == "DATA":
                self.say("354 go on")
                while (text := self.rfile.readline().decode()) not in (".\r\n", ""):
                    self.server.message.append(text.rstrip("\r\n"))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("550 no such user" if verb == "RCPT" and self.server.refuses else "250 fine")

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail_server():
    """A mail server: `lines` and `message` that it got, `context` for STARTTLS, `refuses` recipients."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_): ...  # a client that goes away

    server = Server(("127.0.0.1", 0), MailHandler)
    server.lines, server.message, server.context, server.refuses = [], [], None, False
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def by_webhook(on="always"):
    return Notify(on=on, webhook="env:BERTH_WEBHOOK_URL")


def by_mail(server, on="always"):
    port = server.server_address[1]
    return Notify(on=on, smtp_host="localhost", smtp_port=port, smtp_from="ml@example.com", smtp_to=["a@example.com"])


@pytest.mark.parametrize(
    ("on", "told"),
    [("", []), ("failure", [FAILED]), ("blessed", [BLESSED]), ("always", [BLESSED, REFUSED, FAILED, KILLED])],
)
def test_who_wants_to_know_what_is_told_that(webhook, on, told):
    settings = Notify(on=on, webhook="env:BERTH_WEBHOOK_URL")
    for ending in (BLESSED, REFUSED, FAILED, KILLED):
        assert tell(settings, ending) == []
    assert [json.loads(body)["text"] for _, body in webhook.requests] == [ending.headline for ending in told]


def test_a_message_has_verdict_reasons_run_and_links(webhook):
    tell(by_webhook(), REFUSED)
    ((path, body),) = webhook.requests
    assert path == f"/{SECRET}"
    section, context = json.loads(body)["blocks"]
    assert section["text"]["type"] == "mrkdwn"
    assert section["text"]["text"].splitlines() == [
        "*sms-spam: NOT BLESSED*",
        "accuracy 0.5 is below 0.9; f1 0.4 &lt; 0.8",
    ]
    assert context["elements"][0]["text"] == "sms-spam-1"
    assert "<http://mlflow/#/x?a=1&b=2|MLflow>" in slack_message(BLESSED)["blocks"][0]["text"]["text"]
    assert slack_message(FAILED)["text"] == "sms-spam: FAILED"
    assert "ingest: no column" in slack_message(FAILED)["blocks"][0]["text"]["text"]


def test_text_from_data_calls_nobody_and_makes_no_link_in_slack():
    reason = "ingest: label '<!channel> <http://evil|x>' & more" + " x" * 2000
    message = json.dumps(slack_message(Ending("n", "r", "FAILED", reason, {})))
    assert "<!" not in message
    assert "<http" not in message
    assert "&lt;!channel&gt;" in message
    assert len(message) < 3000


@pytest.mark.parametrize(
    ("answer", "warning"), [(500, "it answered 500."), (404, "it answered 404."), (302, "it answered 302.")]
)
def test_a_webhook_in_trouble_is_a_warning_without_its_address(webhook, answer, warning):
    webhook.answer = answer
    assert tell(by_webhook(), BLESSED) == [f"the webhook was not sent: {warning}"]
    assert [path for path, _ in webhook.requests] == [f"/{SECRET}"]  # no redirect is followed


def test_a_webhook_that_says_nothing_is_not_waited_for(webhook, monkeypatch):
    monkeypatch.setattr(notify, "_TIMEOUT_SECONDS", 0.2)
    webhook.answer = None
    (warning,) = tell(by_webhook(), BLESSED)
    assert "no answer within" in warning
    monkeypatch.setattr(notify, "_TIMEOUT_SECONDS", 30)
    monkeypatch.setattr(notify, "_DEADLINE", 0.2)
    (warning,) = tell(by_webhook(), BLESSED)
    assert "no end after 0.2 s" in warning


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "warning"),
    [
        (None, "the variable BERTH_WEBHOOK_URL is not set."),
        (f"ftp://x/{SECRET}", "the variable BERTH_WEBHOOK_URL holds no http address."),
        (f"http://127.0.0.1:CLOSED/{SECRET}", "nothing answers there."),
        (f"http://[/{SECRET}", "InvalidURL"),
    ],
)
def test_an_address_that_is_none_is_a_warning_without_it(monkeypatch, address, warning):
    monkeypatch.delenv("BERTH_WEBHOOK_URL", raising=False)
    if address:
        monkeypatch.setenv("BERTH_WEBHOOK_URL", address.replace("CLOSED", str(closed_port())))
    assert tell(by_webhook(), BLESSED) == [f"the webhook was not sent: {warning}"]


def test_mail_without_password_needs_no_tls(mail_server):
    """It is plain text."""
    assert tell(by_mail(mail_server), REFUSED) == []
    text = "\n".join(mail_server.message)
    assert "Subject: [berth] sms-spam: NOT BLESSED" in text
    assert "To: a@example.com" in text
    assert "accuracy 0.5 is below 0.9" in text
    assert "Content-Type: text/plain" in text


def test_a_password_is_sent_over_tls_only(mail_server, tmp_path, monkeypatch):
    monkeypatch.setenv("BERTH_SMTP_USER", "ada")
    monkeypatch.setenv("BERTH_SMTP_PASSWORD", SECRET)
    (warning,) = tell(by_mail(mail_server), FAILED)
    assert warning == "the mail was not sent: the server offers no TLS, and a password is not sent without."
    mail_server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(mail_server.context)
    (warning,) = tell(by_mail(mail_server), FAILED)
    assert "its certificate is not trusted" in warning
    assert not any(line.startswith("AUTH") for line in mail_server.lines)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert tell(by_mail(mail_server), FAILED) == []
    login = next(line for line in mail_server.lines if line.startswith("AUTH PLAIN"))
    assert base64.b64decode(login.split()[2]).split(b"\0")[1:] == [b"ada", SECRET.encode()]
    assert "Subject: [berth] sms-spam: FAILED" in mail_server.message


def test_a_mail_server_in_trouble_is_a_warning(mail_server, monkeypatch):
    mail_server.refuses = True
    assert tell(by_mail(mail_server), FAILED) == ["the mail was not sent: the server refuses the recipients (550)."]
    settings = by_mail(mail_server).model_copy(update={"smtp_port": closed_port()})
    (warning,) = tell(settings, FAILED)
    assert "the server cannot be reached (Connection refused)." in warning
    monkeypatch.setattr(notify, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = by_mail(mail_server).model_copy(update={"smtp_host": "127.0.0.1"})
        (warning,) = tell(settings.model_copy(update={"smtp_port": silent.getsockname()[1]}), FAILED)
    assert "no answer within" in warning


def test_exit_handler_reports_mlflows_error_and_links(on_cluster, webhook):
    root = pipeline_run.open_run("sms-spam")
    with pytest.raises(BerthError), step_run("ingest"):
        raise BerthError("no column 'x'.")
    settings = {"on": "failure", "webhook": "env:BERTH_WEBHOOK_URL"}
    assert finish_run("sms-spam", "FAILED", "", settings, "https://kfp/", "https://mlflow").warnings == []
    text = json.loads(webhook.requests[0][1])["blocks"][0]["text"]["text"]
    assert "ingest: no column" in text
    assert f"<https://kfp/#/runs/details/{on_cluster.run_id}|Kubeflow>" in text
    experiment = root.info.experiment_id
    assert f"<https://mlflow/#/experiments/{experiment}/runs/{root.info.run_id}|MLflow>" in text


def test_a_dead_webhook_does_not_fail_a_run(store, webhook):
    webhook.answer = 500
    settings = {"on": "always", "webhook": "env:BERTH_WEBHOOK_URL"}
    (warning,) = finish_run("sms-spam", "SUCCEEDED", "", settings, "", "").warnings
    assert "500" in warning
    assert store.client.get_run(store.parent).info.status == "FINISHED"


def test_wrong_notify_settings_still_close_the_run(store):
    """KFP's form takes any."""
    settings = {"on": "always", "webhook": f"https://x/{SECRET}"}
    (warning,) = finish_run("sms-spam", "SUCCEEDED", "", settings, "", "").warnings
    assert "write env:NAME" in warning
    assert SECRET not in warning
    assert store.client.get_run(store.parent).info.status == "FINISHED"


def test_people_are_told_when_mlflow_cannot_be(store, webhook, monkeypatch):
    def down(*_):
        raise ConnectionError("MLflow is down")

    monkeypatch.setattr(run_tree, "close", down)
    with pytest.raises(ConnectionError):
        finish_run("sms-spam", "SUCCEEDED", "", {"on": "failure", "webhook": "env:BERTH_WEBHOOK_URL"}, "", "")
    assert "MLflow could not be told" in webhook.requests[0][1].decode()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"webhook": f"https://hooks.example/{SECRET}"}, "write env:NAME"),
        ({"on": "always"}, "neither a webhook nor an smtp_host"),
        ({"smtp_host": "mail"}, "smtp_from and smtp_to"),
        ({"smtp_host": "mail", "smtp_from": "a@b", "smtp_to": ["Ada <a@b>"]}, "addresses only"),
    ],
)
def test_impossible_settings_are_refused_without_the_address(settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        Notify(**settings)
    assert SECRET not in refused.value.errors()[0]["msg"]
