"""Drives the fake Twilio with Twilio's own library, as any customer of Twilio's would. Started by tests/twilio_helper.rs.

Reads what it needs as JSON from standard input; ends with "ok" if the library understood every answer. The one thing
that is not a customer's: the library's requests go to the fake instead of Twilio's hosts.
"""

import json
import sys
from datetime import datetime
from urllib.parse import urlsplit

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

given = json.load(sys.stdin)


class ToFake(TwilioHttpClient):
    """Twilio's client, with the host replaced and no proxy of the environment's."""

    HOSTS = ("https://api.twilio.com", "https://verify.twilio.com")

    def __init__(self):
        super().__init__(timeout=20)
        self.session.trust_env = False

    def request(self, method, url, **kwargs):
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" in self.HOSTS, url
        return super().request(method, given["base_url"] + url[len(f"{parts.scheme}://{parts.netloc}"):], **kwargs)

    def answer(self):
        return json.loads(self._test_only_last_response.text)


http = ToFake()
client = Client(given["account_sid"], given["auth_token"], http_client=http)
verify = client.verify.v2.services(given["service_sid"])


def whole(resource, names=()):
    """Each member of the answer is one that the library knows, and each that it knows is there."""
    known = {name.strip("_") for name in vars(resource) if not name.startswith("_") or name == "_from"}
    optional = {"stir_verstat"}
    there = set(http.answer())
    assert there - known <= set(names), ("the library does not know", there - known)
    assert known - there <= optional, ("the fake does not say", known - there)


def refused(code, status, act):
    """The library raises the provider's own error."""
    try:
        act()
    except TwilioRestException as error:
        assert (error.code, error.status) == (code, status), (code, error)
        assert error.msg and error.uri, error
        return
    raise AssertionError(f"{code} was expected")


def messages():
    sent = client.messages.create(
        to=given["to"], from_=given["from"], body="482913 is your Acme code.", validity_period=120,
        status_callback="https://otp.example.com/v1/receipts/twilio?ref=r-0",
    )
    assert sent.sid.startswith("SM") and sent.status == "queued" and sent.to == given["to"], vars(sent)
    assert isinstance(sent.date_created, datetime) and sent.error_code is None and sent.num_segments == "1"
    whole(sent)
    sent = client.messages.create(
        to=f"whatsapp:{given['to']}", from_=f"whatsapp:{given['from']}", content_sid=given["content_sid"],
        content_variables=json.dumps({"1": "482913"}),
    )
    assert sent.sid.startswith("SM") and sent.to == f"whatsapp:{given['to']}", vars(sent)
    whole(sent)
    refused(21211, 400, lambda: client.messages.create(to="12345", from_=given["from"], body="x"))
    refused(21211, 400, lambda: client.messages.create(to="+15005550001", from_="+15005550006", body="x"))
    refused(21606, 400, lambda: client.messages.create(to=given["to"], from_="+12025550199", body="x"))
    # The fake was told to throttle this number.
    refused(20429, 429, lambda: client.messages.create(to=given["throttled"], from_=given["from"], body="x"))


def calls():
    response = VoiceResponse()
    say = response.say("Your code is", language="en-US", voice="Polly.Joanna")
    for digit in "482913":
        say.break_(time="700ms")
        say.append(digit)
    response.pause(length=1)
    response.say("Your code is 4 8 2 9 1 3. Tom & Jerry <say> so.")
    made = client.calls.create(to=given["to"], from_=given["from"], twiml=str(response), timeout=25)
    assert made.sid.startswith("CA") and made.status == "queued" and made.to == given["to"], vars(made)
    whole(made, {"annotation"})
    refused(21217, 400, lambda: client.calls.create(to="+15005550001", from_="+15005550006", twiml=str(response)))
    refused(12100, 400, lambda: client.calls.create(to=given["to"], from_=given["from"], twiml="<Response><Say>"))


def verifications():
    def start():
        return verify.verifications.create(to=given["to"], channel="sms", custom_code="482913", locale="en")

    started = start()
    assert started.sid.startswith("VE") and started.status == "pending" and started.valid is False, vars(started)
    assert isinstance(started.date_created, datetime) and len(started.send_code_attempts) == 1, vars(started)
    whole(started)
    for _ in range(4):
        assert start().sid == started.sid
    refused(60203, 429, start)
    ended = verify.verifications(started.sid).update(status="approved")
    assert (ended.sid, ended.status, ended.to) == (started.sid, "approved", given["to"]), vars(ended)
    whole(ended)
    refused(20404, 404, lambda: verify.verifications(started.sid).update(status="canceled"))
    assert start().sid != started.sid
    refused(60200, 400, lambda: verify.verifications.create(to=given["to"], channel="sms", custom_code="123"))


def credentials():
    stranger = Client(given["account_sid"], "wrong-token", http_client=http)
    refused(20003, 401, lambda: stranger.messages.create(to=given["to"], from_=given["from"], body="x"))


def signature():
    """What the fake signs, the library takes; and nothing else."""
    receipt = given["receipt"]
    url, fields, signed = receipt["url"], dict(receipt["fields"]), receipt["signature"]
    validator = RequestValidator(given["auth_token"])
    assert validator.compute_signature(url, fields) == signed
    assert validator.validate(url, fields, signed)
    assert not validator.validate(url, {**fields, "MessageStatus": "failed"}, signed)
    assert not validator.validate(url + "0", fields, signed)
    assert not RequestValidator("wrong-token").validate(url, fields, signed)


messages()
calls()
verifications()
credentials()
signature()
print("ok")
