"""All tables of the quality of alarms and estimates, one after the other.

    python -m tests.bench.quality [--quick] [--windows 4000] [--workers 2]

(a) false alarms where nothing changes, and how far out the nulls of all drift scores hold, (b) the smallest shift found, both beside Evidently's, NannyML's and Alibi Detect's
formulas, and what the first day's caution costs; (c) delay and false alarms of the stream detectors beside River's; (d) errors
of CBPE and DLE beside NannyML's.
--quick: the same tables from fewer windows, sizes and seeds; what they count says how few.
"""

from __future__ import annotations

import argparse

from tests.bench.quality import alarms, delay, estimates, null, streams, tails
from tests.bench.quality.rows import MANY, SEASON, SEASONS, SHAPES, WEEK

QUICK_SIZES = (50, 500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--windows", type=int, help="of each size, all shapes and both kinds of reference together")
    parser.add_argument("--workers", type=int, default=2)
    said = parser.parse_args()
    shapes = list(SHAPES)
    calm = [shape for shape in shapes if shape not in (*SEASONS, MANY)]
    if said.quick:
        null.null_table(said.windows or 180, 4, said.workers, QUICK_SIZES, ["gaussian", "categories", SEASON])
        tails.tail_table(100, said.workers)
        alarms.power_table(10, said.workers, (500,), ["gaussian"])
        delay.delay_table(said.workers, (500,), delay.DRIFTS[1:3])
        streams.main(seeds=(1,))
        estimates.main(quick=True)
        return
    null.null_table(said.windows or 4000, 40, said.workers, null.SIZES, [shape for shape in shapes if shape not in (WEEK, MANY)])
    null.null_table((said.windows or 4000) // 4, 0, said.workers, null.SIZES[:3], [WEEK, MANY])
    tails.tail_table(tails.WINDOWS, said.workers)
    alarms.power_table(40, said.workers, tuple(s for s in null.SIZES if s <= 5_000), calm)
    delay.delay_table(said.workers, (500, 5_000))
    streams.main()
    estimates.main()


if __name__ == "__main__":
    main()
