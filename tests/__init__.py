"""Tests and benches. No peer that one of them imports sends its usage anywhere."""

import os

os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
