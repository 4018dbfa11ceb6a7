"""The kinds of channels: a module and a line here make a new one."""

from dataclasses import dataclass

from cmg.alerting.channels import email, ntfy, pagerduty, slack, tickets, twilio, web_push, webhook
from cmg.alerting.channels.sending.message import Send
from cmg.alerting.setup.documents import Channel, ChannelKind


@dataclass(frozen=True)
class Kind:
    """`settings` and `secrets` it cannot do without; `repeats_show`: the receiver cannot tell a repeat from news."""

    send: Send
    settings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    repeats_show: bool = False


KINDS: dict[ChannelKind, Kind] = {
    "webhook": Kind(webhook.send, (), ("secret",)),
    "callback": Kind(webhook.call_back),
    "slack": Kind(slack.send, repeats_show=True),
    "email": Kind(email.send, ("host", "from")),
    "sms": Kind(twilio.send_sms, ("account_sid", "from"), ("auth_token",), repeats_show=True),
    "voice": Kind(twilio.call, ("account_sid", "from"), ("auth_token",), repeats_show=True),
    "pagerduty": Kind(pagerduty.send, (), ("routing_key",)),
    "ntfy": Kind(ntfy.send, repeats_show=True),
    "push": Kind(web_push.send, ("subject",), ("vapid_private_key",)),
    "jira": Kind(tickets.jira, ("url", "email", "project"), ("api_token",)),
    "servicenow": Kind(tickets.servicenow, ("url", "username"), ("password",)),
}


def lacking(channel: Channel) -> list[str]:
    """What a channel cannot do without and does not have."""
    kind = KINDS[channel.kind]
    wanted = [f"settings.{one}" for one in kind.settings if not channel.settings.get(one)]
    return wanted + [f"secrets.{one}" for one in kind.secrets if not channel.secrets.get(one)]
