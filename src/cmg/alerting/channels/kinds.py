"""The kinds of channels: a module and a line here make a new one."""

from dataclasses import dataclass

from cmg.alerting.channels import email, ntfy, pagerduty, slack, tickets, twilio, web_push, webhook
from cmg.alerting.channels.sending.message import Send
from cmg.alerting.setup.documents import Channel, ChannelKind


@dataclass(frozen=True)
class Kind:
    """`settings` and `secrets` it cannot do without; `repeats_show`: the receiver cannot tell a repeat from news.

    `address`: the setting that says where to, for contacts and steps that give no address.
    """

    send: Send
    settings: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    repeats_show: bool = False
    address: str = ""


KINDS: dict[ChannelKind, Kind] = {
    "webhook": Kind(webhook.send, (), ("secret",), address="url"),
    "callback": Kind(webhook.call_back, address="url"),
    "slack": Kind(slack.send, repeats_show=True, address="channel"),
    "email": Kind(email.send, ("host", "from"), address="to"),
    "sms": Kind(twilio.send_sms, ("account_sid", "from"), ("auth_token",), repeats_show=True, address="to"),
    "voice": Kind(twilio.call, ("account_sid", "from"), ("auth_token",), repeats_show=True, address="to"),
    "pagerduty": Kind(pagerduty.send, (), ("routing_key",)),
    "ntfy": Kind(ntfy.send, repeats_show=True, address="topic"),
    "push": Kind(web_push.send, ("subject",), ("vapid_private_key",), address="subscription"),
    "jira": Kind(tickets.jira, ("url", "email", "project"), ("api_token",)),
    "servicenow": Kind(tickets.servicenow, ("url", "username"), ("password",)),
}
_HOOK = "webhook_url"  # in the place of Slack's token; it knows its channel


def lacking(channel: Channel) -> list[str]:
    """What a channel cannot do without and does not have."""
    kind = KINDS[channel.kind]
    wanted = [f"settings.{one}" for one in kind.settings if not channel.settings.get(one)]
    if channel.kind == "slack" and not (channel.secrets.get("token") or channel.secrets.get(_HOOK)):
        wanted.append(f"secrets.token or secrets.{_HOOK}")
    return wanted + [f"secrets.{one}" for one in kind.secrets if not channel.secrets.get(one)]


def homeless(channel: Channel, address: str = "") -> str:
    """The setting that would say where to, where neither it nor an address does; empty: it is known."""
    wanted = KINDS[channel.kind].address
    if not wanted or address or (channel.kind == "slack" and channel.secrets.get(_HOOK)):
        return ""
    return "" if wanted != "subscription" and channel.settings.get(wanted) else wanted


def works(channel: Channel, address: str = "") -> bool:
    """Whether a message for an address, or for the channel's own, could be sent at all."""
    return not lacking(channel) and not homeless(channel, address)
