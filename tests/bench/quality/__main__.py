"""All tables of the quality of alarms and estimates, one after the other.

    python -m tests.bench.quality [--quick] [--windows 2000] [--workers 2]

(a) false alarms where nothing changes, (b) the smallest shift found, both beside Evidently's, NannyML's and Alibi Detect's
formulas; (c) delay and false alarms of the stream detectors beside River's; (d) errors of CBPE and DLE beside NannyML's.
--quick: the same tables from fewer windows, sizes and seeds; what they count says how few.
"""

from __future__ import annotations

import argparse

from tests.bench.quality import alarms, estimates, streams

QUICK_SIZES = (50, 500)
QUICK_SHAPES = ["gaussian", "zero-inflated", "categories"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--windows", type=int, help="of each size, all shapes together")
    parser.add_argument("--workers", type=int, default=2)
    said = parser.parse_args()
    shapes = list(alarms.SHAPES)
    calm = [shape for shape in shapes if shape != "daily season"]
    if said.quick:
        alarms.null_table(said.windows or 150, 4, said.workers, QUICK_SIZES, QUICK_SHAPES)
        alarms.power_table(10, said.workers, (500,), ["gaussian"])
        streams.main(seeds=(1,))
        estimates.main(quick=True)
        return
    alarms.null_table(said.windows or 2000, 40, said.workers, alarms.SIZES, shapes)
    alarms.power_table(40, said.workers, tuple(s for s in alarms.SIZES if s <= 5_000), calm)
    streams.main()
    estimates.main()


if __name__ == "__main__":
    main()
