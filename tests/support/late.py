"""Libraries that are loaded when a test first uses them: each process collects every test and runs a part of them.

A file that imports one from here needs `from __future__ import annotations`, or its annotations load it.
"""

import importlib
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """A library's classes."""

    def __getattr__(self, name: str) -> Any:
        if not name[0].isupper():  # pytest looks for marks and fixtures in whatever a file knows
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


openai: Any = _Late("openai")  # a second of a core
