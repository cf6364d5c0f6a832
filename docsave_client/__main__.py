"""``python -m docsave_client``."""

import sys

from docsave_client.cli.main import main

sys.exit(main())
