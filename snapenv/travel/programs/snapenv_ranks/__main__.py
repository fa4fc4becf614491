"""Train on several devices at once; print what was found as one JSON line."""

import sys

from snapenv_ranks.parent import main

sys.exit(main())
