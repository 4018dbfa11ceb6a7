"""What a document may say by its shape and cannot mean: refused when it is written, never when it is read again."""

from cmg.alerting.setup.documents import Document, MaintenanceWindow, Recurrence
from cmg.kit.errors import InvalidRequest

_DEFAULT = "default"


def check_sense(kind: str, name: str, document: Document) -> None:
    """Raise `InvalidRequest`, which names the field, for what would never do anything."""
    if kind == "handling" and name != _DEFAULT:
        raise InvalidRequest(
            "`name`: the handling of alerts is the one named `default`; no other is read", param="name"
        )
    if isinstance(document, MaintenanceWindow) and document.recurring is not None:
        _recurrence(document.recurring)


def _recurrence(told: Recurrence) -> None:
    if 0 in told.days_of_month:
        where = "recurring.days_of_month"
        raise InvalidRequest(f"`{where}`: days are 1 to 31, or -1 to -31 from the month's end", param=where)
    if told.first_day is not None and told.last_day is not None and told.last_day < told.first_day:
        raise InvalidRequest("`recurring.last_day`: must not lie before first_day", param="recurring.last_day")
