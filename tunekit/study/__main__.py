"""``python -m tunekit.study``."""

from tunekit.interrupt import leave
from tunekit.study import main

if __name__ == "__main__":
    leave(main())
