"""``python -m tunekit.study``."""

import signal
import sys

from tunekit.study import main

if __name__ == "__main__":
    code = main()
    if code > 128:
        # It has stopped: who asks again and again need not see how libraries end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
