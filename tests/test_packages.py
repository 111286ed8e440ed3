"""Which Lightning package is used, in programs that import one, both or none."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("imported", "wanted"),
    [
        ((), "pytorch_lightning"),
        (("pytorch_lightning",), "pytorch_lightning"),
        (("lightning.pytorch",), "lightning.pytorch"),
        (("lightning.pytorch", "pytorch_lightning"), "pytorch_lightning"),
    ],
)
def test_the_package_that_is_imported_is_used_and_kept(imported, wanted):
    # Modules of these names, because importing the packages takes seconds.
    code = (
        "import sys\n"
        "from tunekit.packages import PACKAGES, in_use\n"
        f"sys.modules |= dict.fromkeys({imported!r}, sys)\n"
        "print(in_use())\n"
        "sys.modules |= dict.fromkeys(PACKAGES, sys)\n"
        "print(in_use())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.stderr, done.stdout.split()) == ("", [wanted, wanted])
