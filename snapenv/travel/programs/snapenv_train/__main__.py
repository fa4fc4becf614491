"""Train YOLOv8 for a few steps on data made here; print the losses as one JSON line."""

import sys

from snapenv_train.smoke import main

sys.exit(main())
