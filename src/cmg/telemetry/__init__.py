"""What every room emits with: instruments built from the catalogue, and structured logs.

Rooms take an `Instruments` in their constructor and ask it for a metric by name; nothing else imports
`prometheus_client`. What leaves is the exposition text and one JSON line per log record.
"""

import sys
from typing import Any

# structlog loads rich where it finds it (a library of ours brings it along), to colour lines on terminals, which ours
# are not: 5 MB and 0.04 s of every process. None is Python's word for a package that is not to be had.
_loaded: dict[str, Any] = sys.modules
if _loaded.setdefault("rich", None) is None:
    import structlog  # noqa: F401  loaded here, while rich is not to be had

    del _loaded["rich"]
