"""Fuzzing of everything that reads bytes from elsewhere, guided by coverage.

``python -m tests.fuzz`` runs it; ``targets`` lists the readers, ``seeds`` holds their documents.
"""

import sys
from pathlib import Path

_PROGRAMS = str(Path(__file__).parents[2] / "snapenv/travel/programs")
if _PROGRAMS not in sys.path:  # pytest has put it there
    sys.path.append(_PROGRAMS)
