"""`python -m local.supabase`: the gateway alone."""

import sys

from local.supabase.cli import main

sys.exit(main(sys.argv[1:]))
