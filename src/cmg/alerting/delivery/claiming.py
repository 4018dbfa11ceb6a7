"""Which messages are sent now, and what becomes of them: pure functions of a world, kept before and after each send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cmg.alerting.escalation.contacts import Place
from cmg.alerting.escalation.telling import ENDING, Telling, put, with_quiet
from cmg.alerting.lifecycle.pipeline import receive
from cmg.alerting.models import PAGING, Decision, Group, Notification, Report
from cmg.alerting.world import Changes

CLAIM_S = 30.0  # a send ends within this; a message whose sender died is sent again after it
AT_ONCE = 20
_BACKOFF_S = (5.0, 20.0, 60.0, 120.0, 300.0)
_PAGING_TRIES, _TRIES = 3, len(_BACKOFF_S) + 1
_PATIENCE_S = 60.0  # a page waits no longer for a busy receiver where there is another channel
_AGAIN_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a send came to: `receipt`, or `error`; `again` when it may go through later."""

    key: str
    receipt: str = ""
    error: str = ""
    again: bool = False
    after_s: float | None = None


def waits_for_sender(one: Notification, now: float) -> bool:
    """Whether a message is due and nobody is sending it."""
    died = one.state == "sending" and (one.claimed_until or 0) <= now
    return died or (one.state == "pending" and one.due_at <= now)


def claim(changes: Changes, free: Mapping[str, int]) -> list[Notification]:
    """Claim what is due, the most urgent first; `free`: how many more each channel may send in this minute."""
    now, left = changes.now, dict(free)
    taken: list[Notification] = []
    for one in sorted(changes.world.outbox.values(), key=lambda one: (one.severity, one.due_at, one.key)):
        if len(taken) >= AT_ONCE or not waits_for_sender(one, now):
            continue
        if left.get(one.channel, 1) <= 0:
            continue
        left[one.channel] = left.get(one.channel, AT_ONCE) - 1
        claimed = msgspec.structs.replace(
            one,
            state="sending",
            attempts=one.attempts + 1,
            repeats=one.repeats + (one.state == "sending"),
            claimed_until=now + CLAIM_S,
        )
        changes.notify(claimed)
        taken.append(claimed)
    return taken


def settle(changes: Changes, claimed: Sequence[Notification], outcomes: Mapping[str, Outcome]) -> None:
    """Keep what became of each: sent, to be tried again, or given up and handed to the next channel."""
    for one in claimed:
        outcome = outcomes[one.key]
        if outcome.receipt:
            _sent(changes, one, outcome)
        elif one.key not in changes.world.outbox:
            continue  # somebody acknowledged meanwhile: nothing is to be tried again
        elif outcome.again and _worth_it(one, outcome):
            pause = _BACKOFF_S[min(one.attempts, len(_BACKOFF_S)) - 1] if outcome.after_s is None else outcome.after_s
            due = changes.now + min(pause, 900)
            again = msgspec.structs.replace(one, state="pending", due_at=due, claimed_until=None, error=outcome.error)
            changes.notify(again)
        else:
            _failed(changes, one, outcome)


def _worth_it(one: Notification, outcome: Outcome) -> bool:
    """Whether it is tried again on the same channel."""
    if one.severity not in PAGING:
        return one.attempts < _TRIES
    too_long = one.fallbacks and (outcome.after_s or 0) > _PATIENCE_S
    return one.attempts < _PAGING_TRIES and not too_long


def _sent(changes: Changes, one: Notification, outcome: Outcome) -> None:
    done = msgspec.structs.replace(
        one, state="sent", sent_at=changes.now, receipt=outcome.receipt[:200], error="", claimed_until=None
    )
    changes.notify(done)
    _heard(changes, one)
    if one.facts.get("drill") == "quiet":
        return  # nothing was sent, so it says nothing of the channel
    _channel_alert(changes, one.channel, "", firing=False)
    group = changes.world.groups.get(one.group_id)
    policy = changes.world.setup.policies.get(group.policy_id or "") if group else None
    channel = changes.world.setup.channels.get(one.channel)
    if group is None or policy is None or channel is None or channel.kind != "voice" or group.status != "open":
        return
    dialled = int(one.step.split()[1].split(".")[0]) if one.step.startswith("redial") else 0
    if dialled < policy.redials and not one.step.startswith("reminder"):
        place = f"{one.channel}\n{one.address}\n{one.target}\n{done.receipt}"
        changes.new_timer(group.id, "redial", changes.now + policy.redial_seconds, dialled + 1, place)


def _failed(changes: Changes, one: Notification, outcome: Outcome) -> None:
    """Give it up; the next channel of its fallbacks takes it over, and the dead one raises an alert."""
    changes.notify(msgspec.structs.replace(one, state="failed", error=outcome.error[:500], claimed_until=None))
    group = changes.world.groups.get(one.group_id)
    told = "there is no further channel"
    if group is not None and one.fallbacks:
        (channel, address), rest = one.fallbacks[0], one.fallbacks[1:]
        place = Place(one.target, channel, address, rest)
        put(changes, group, place, Telling(one.occasion, one.step, f"{one.channel} failed"))
        told = f"{channel} takes it over"
    elif group is not None:
        told += _hurried(changes, one, group)
    verdict = f"{one.channel} failed for {one.target}: {outcome.error}"[:500]
    changes.decide(Decision(at=changes.now, event=verdict, outcome=told, group_id=one.group_id))
    _channel_alert(changes, one.channel, outcome.error, firing=True)


def _heard(changes: Changes, one: Notification) -> None:
    """Note that a page of its step reached somebody, and who hears its end."""
    group = changes.world.groups.get(one.group_id)
    if group is None or one.occasion in ENDING:
        return
    of_step = one.occasion == "page" and not _aside(one)
    quiet = with_quiet(changes.world.setup, group.quiet, one)
    noted = msgspec.structs.replace(group, heard=one.step if of_step else group.heard, quiet=quiet)
    if noted != group:
        changes.put_group(noted)


def _hurried(changes: Changes, one: Notification, group: Group) -> str:
    """Nobody can be told of a step: the next one waits for nothing, and behind the last one it begins again.

    What was done; empty where somebody was told, or may yet be.
    """
    if one.occasion != "page" or _aside(one) or group.status != "open" or group.severity not in PAGING:
        return ""
    waits = any(other.group_id == group.id for other in changes.world.outbox.values())
    if waits or group.heard == one.step:
        return ""
    steps = [timer for timer in changes.world.timers_of(group.id) if timer.kind == "escalate"]
    for timer in steps:
        changes.end_timer(timer)
        changes.new_timer(group.id, "escalate", changes.now, timer.number)
    if steps:
        return ", and nobody heard of this step: the next one is told at once"
    if group.heard.rpartition(".")[2] == str(group.round):
        return ""  # an earlier step was heard of: it is told again in its time
    changes.end_timers(group.id)
    changes.new_timer(group.id, "wait", changes.now + _AGAIN_S)
    begun = {"step": 0, "round": group.round + 1, "begun_at": changes.now, "paged": ()}
    changes.put_group(msgspec.structs.replace(group, **begun))
    return f", and nobody heard of any step: it begins again in {_AGAIN_S:.0f} s"


def _aside(one: Notification) -> bool:
    """A page that is no step of an escalation: a call that is made again, somebody whom it was assigned to."""
    return one.step.startswith(("redial ", "assigned "))


def _channel_alert(changes: Changes, channel: str, error: str, *, firing: bool) -> None:
    """The alert about a channel that does not work; it ends with the first message that goes through."""
    labels = {
        "alertname": "NotificationChannelFailing",
        "channel": channel,
        "severity": "high",
        "component": "alerting",
    }
    summary = {"summary": f"The notification channel {channel} does not work", "description": error[:500]}
    receive(changes, [Report(labels=labels, annotations=summary, firing=firing, source="alerting")])
