"""``python -m tunekit.study``."""

import sys

from tunekit.study import main

if __name__ == "__main__":
    sys.exit(main())
