"""Tell paths without saying where on this machine they lie: no home folder, no working folder."""

# Paths are plain strings, as the kernel and the errors of packages give them.
# ruff: noqa: PTH111, PTH117

from __future__ import annotations

import os
import sys
import sysconfig

_OF_THE_SYSTEM = frozenset({"", "/usr", "/usr/local"})  # as folders of an environment or a user


class Paths:
    """The places of one run, by the words that stand for them; HOME is as it is now."""

    def __init__(self, *, work: str) -> None:
        home = os.path.expanduser("~")
        sites = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        named = [("site", site) for site in sorted(sites)]
        named += [("", sys.prefix), ("python", sys.base_prefix), ("work", work), ("~", home)]
        self._places = [
            (word, place)
            for word, folder in named
            for place in sorted({folder, os.path.realpath(folder)})
            if os.path.isabs(place) and place.rstrip("/") not in _OF_THE_SYSTEM
        ]

    def name(self, path: str) -> str:
        """Return a file's path: ``site/torch/lib/libc10.so``, ``lib/libz.so.1`` of the environment.

        Files beyond the environment keep their absolute path, with ``~`` for the home folder.
        """
        for word, place in self._places:
            if path.startswith(f"{place}/"):
                inner = path[len(place) + 1 :]
                return f"{word}/{inner}" if word else inner
        return path

    def censor(self, text: str) -> str:
        """Return a text with every one of these places replaced by its word."""
        for word, place in self._places:
            text = text.replace(place, word or "environment")
        return text
