"""``python -m tunekit.babysit``."""

from tunekit.babysit import main
from tunekit.interrupt import leave

if __name__ == "__main__":
    leave(main())
