"""Export a model, and print how far its outputs are from torch's as one JSON line."""

import sys

from snapenv_export.export import main

sys.exit(main())
