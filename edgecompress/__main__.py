"""`python -m edgecompress`, the same as the command `edgecompress`."""

import sys

from edgecompress.cli import main

sys.exit(main())
