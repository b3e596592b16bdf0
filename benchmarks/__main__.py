"""``make bench``: runs what is measured and prints it as text. No measurement of the pacing has been written yet."""

from __future__ import annotations

import sys

sys.stdout.write("There is no benchmark yet: the pacing is measured against its bound in a later version.\n")
