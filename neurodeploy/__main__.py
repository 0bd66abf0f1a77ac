"""`python -m neurodeploy`: the same as the command `neurodeploy`."""

import sys

from neurodeploy.cli import main

sys.exit(main())
