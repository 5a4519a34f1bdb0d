"""The parts in C. Where no compiler is, they are left out and Python does the same work more slowly."""

from __future__ import annotations

from setuptools import Extension, setup

FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-ffp-contract=off"]

setup(
    ext_modules=[
        Extension(
            "monitor.decode._scan",
            ["monitor/decode/_scan.c"],
            depends=[
                "monitor/decode/scan_names.h",
                "monitor/decode/scan_number.h",
                "monitor/decode/scan_row.h",
                "monitor/decode/scan_text.h",
            ],
            extra_compile_args=FLAGS,
            py_limited_api=True,
            optional=True,
        ),
        Extension("detectors._kernels", ["detectors/_kernels.c"], extra_compile_args=FLAGS, py_limited_api=True, optional=True),
        Extension("monitor._seen", ["monitor/_seen.c"], extra_compile_args=FLAGS, py_limited_api=True, optional=True),
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
