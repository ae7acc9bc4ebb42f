"""`python -m local.gateway`: the gateway alone."""

import sys

from local.gateway.cli import main

sys.exit(main(sys.argv[1:]))
