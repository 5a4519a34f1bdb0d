"""Detectors of change in a stream of errors, by the names that the config uses.

To add one: a file with the class, a line here. tests/test_stream_detectors.py holds all of them to the same contract.
"""

from __future__ import annotations

from detectors.stream.adwin import ADWIN
from detectors.stream.cusum import CUSUM, GMA
from detectors.stream.ddm import DDM
from detectors.stream.ecdd import ECDD
from detectors.stream.eddm import EDDM
from detectors.stream.hddm_a import HDDMA
from detectors.stream.hddm_w import HDDMW
from detectors.stream.kswin import KSWIN
from detectors.stream.page_hinkley import PageHinkley
from detectors.stream.scan import Detector

STREAM_DETECTORS: dict[str, type[Detector]] = {
    "adwin": ADWIN,
    "cusum": CUSUM,
    "ddm": DDM,
    "ecdd": ECDD,
    "eddm": EDDM,
    "gma": GMA,
    "hddm_a": HDDMA,
    "hddm_w": HDDMW,
    "kswin": KSWIN,
    "page_hinkley": PageHinkley,
}
