"""The incidents and maintenances as RSS 2.0 and Atom feeds, newest first."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from xml.etree import ElementTree as ET

from cmg.incidents.models import Communication
from cmg.incidents.status.models import Picture
from cmg.incidents.status.statuspage import incident_status

_MOST = 50
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2
_ATOM = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True)
class Item:
    """One item of a feed."""

    name: str
    title: str
    link: str
    text: str
    at: datetime
    updated_at: datetime


def items(picture: Picture) -> list[Item]:
    """Incidents with everything that was told of them, and announced maintenances, newest first."""
    found = []
    for incident in picture.told.incidents:
        updates = picture.updates_of(incident)
        text = "\n\n".join(map(_paragraph, updates)) or f"{incident_status(incident, updates).capitalize()}."
        link = f"{picture.url}/status/history#incident-{incident.id}"
        at = max([incident.updated_at, *(one.at for one in updates)])
        found.append(Item(f"incident-{incident.id}", incident.shown_title, link, text, incident.started_at, at))
    for one in picture.told.maintenances:
        link = f"{picture.url}/status/history#maintenance-{one.id}"
        text = f"Maintenance from {one.starts_at:%Y-%m-%d %H:%M} to {one.ends_at:%Y-%m-%d %H:%M} UTC. {one.body}"
        found.append(Item(f"maintenance-{one.id}", one.title, link, text.strip(), one.created_at, one.updated_at))
    return sorted(found, key=lambda one: one.updated_at, reverse=True)[:_MOST]


def rss(picture: Picture) -> bytes:
    """RSS 2.0."""
    root = ET.Element("rss", {"version": "2.0"})
    channel = ET.SubElement(root, "channel")
    _put(channel, "title", f"{picture.title}: status")
    _put(channel, "link", f"{picture.url}/status")
    _put(channel, "description", "Incidents and maintenances")
    _put(channel, "lastBuildDate", format_datetime(picture.at))
    for one in items(picture):
        item = ET.SubElement(channel, "item")
        _put(item, "title", one.title)
        _put(item, "link", one.link)
        guid = ET.SubElement(item, "guid", {"isPermaLink": "false"})
        guid.text = f"{picture.url}/status#{one.name}"
        _put(item, "pubDate", format_datetime(one.updated_at))
        _put(item, "description", one.text)
    return _written(root)


def atom(picture: Picture) -> bytes:
    """Atom (RFC 4287)."""
    root = ET.Element("feed", {"xmlns": _ATOM})
    _put(root, "title", f"{picture.title}: status")
    _put(root, "id", f"{picture.url}/status")
    _put(root, "updated", picture.at.isoformat())
    ET.SubElement(root, "link", {"rel": "self", "href": f"{picture.url}/status/history.atom"})
    ET.SubElement(root, "link", {"rel": "alternate", "href": f"{picture.url}/status"})
    author = ET.SubElement(root, "author")
    _put(author, "name", picture.title)
    for one in items(picture):
        entry = ET.SubElement(root, "entry")
        _put(entry, "title", one.title)
        _put(entry, "id", f"{picture.url}/status#{one.name}")
        ET.SubElement(entry, "link", {"rel": "alternate", "href": one.link})
        _put(entry, "published", one.at.isoformat())
        _put(entry, "updated", one.updated_at.isoformat())
        _put(entry, "content", one.text)
    return _written(root)


def _paragraph(said: Communication) -> str:
    return f"{said.at:%Y-%m-%d %H:%M} UTC, {said.status}: {said.body}"


def _put(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = _NO_XML.sub("", text)


def _written(root: ET.Element) -> bytes:
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
