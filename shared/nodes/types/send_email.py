"""Sends one e-mail through SES and yields `{message_id}`.

SES does not deduplicate: a repeated attempt may be a second e-mail; its tag `idempotency_key` is the same
(https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html).
"""

from __future__ import annotations

from email.utils import parseaddr
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from shared.nodes.aws_effect import aws_call, aws_destination, response_field, without_none
from shared.nodes.node_kinds import Completed, Effect, EffectContext, Parameters
from shared.nodes.node_type import NodeType, out_or_error

MAX_RECIPIENTS = 50


def _address(text: str) -> str:
    if "@" not in parseaddr(text)[1] or any(character in text for character in "\r\n\0"):
        raise ValueError("this is no e-mail address")
    return text


Address = Annotated[str, Field(max_length=320), AfterValidator(_address)]
Addresses = Annotated[list[Address], Field(max_length=MAX_RECIPIENTS)]


class Destination(Parameters):
    """Who gets it; at most 50 altogether."""

    to_addresses: Addresses = Field(default_factory=list)
    cc_addresses: Addresses = Field(default_factory=list)
    bcc_addresses: Addresses = Field(default_factory=list)

    @model_validator(mode="after")
    def _some(self) -> Destination:
        if not 1 <= len(self.to_addresses) + len(self.cc_addresses) + len(self.bcc_addresses) <= MAX_RECIPIENTS:
            raise ValueError(f"an e-mail has 1 to {MAX_RECIPIENTS} recipients")
        return self


class Text(Parameters):
    """A text, in UTF-8."""

    data: str


class Body(Parameters):
    """As text, as HTML, or both."""

    text: Text | None = None
    html: Text | None = None

    @model_validator(mode="after")
    def _some(self) -> Body:
        if self.text is None and self.html is None:
            raise ValueError("an e-mail has a text or html")
        return self


class Simple(Parameters):
    """A subject and a body."""

    subject: Text
    body: Body


class Content(Parameters):
    """What SES calls a message that is not raw MIME."""

    simple: Simple


class SendEmail(Parameters):
    """`from_email_address` must be an identity that SES has verified."""

    from_email_address: Address
    destination: Destination
    content: Content
    reply_to_addresses: Addresses = Field(default_factory=list)


async def _perform(parameters: SendEmail, effect: EffectContext) -> Completed:
    simple = parameters.content.simple
    body = without_none(Text=_text(simple.body.text), Html=_text(simple.body.html))
    response = await aws_call(
        effect,
        parseaddr(parameters.from_email_address)[1],  # the allow-list has addresses without display names
        "sesv2",
        "send_email",
        FromEmailAddress=parameters.from_email_address,
        Destination={
            "ToAddresses": parameters.destination.to_addresses,
            "CcAddresses": parameters.destination.cc_addresses,
            "BccAddresses": parameters.destination.bcc_addresses,
        },
        ReplyToAddresses=parameters.reply_to_addresses,
        Content={"Simple": {"Subject": _text(simple.subject), "Body": body}},
        EmailTags=[{"Name": "idempotency_key", "Value": effect.idempotency_key}],
    )
    return Completed({"message_id": response_field(response, "MessageId")})


def _text(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"Data": text.data, "Charset": "UTF-8"}


NODE = NodeType(
    "send_email", "Send an e-mail", SendEmail, Effect(_perform, aws_destination("email")), handles=out_or_error
)
