"""Train for some steps and time them; print what was measured as one JSON line."""

import sys

from snapenv_bench.bench import main

sys.exit(main())
