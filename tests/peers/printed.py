"""Print another tool's own numbers for the rows of inputs.py, as JSON: they are kept beside this file, with the tool's release.

    python -m tests.peers.printed frouros > tests/peers/frouros.json

It runs where that tool is installed, which need not be beside the others (numpy's releases keep them apart):
frouros==0.9.0; alibi-detect==0.13.0; scouter-ml==0.25.0 polars pyarrow; "whylogs[viz]==1.6.4" pandas ipython setuptools.
sagemaker: deequ is a jar; DEEQU_CLASSPATH names it, before Spark's (mvn dependency:build-classpath for com.amazon.deequ:deequ).
azure: its bins by Spark's own RDD.histogram (pyspark==3.5.*), the rest of its few lines by scipy, as its source has them.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tests.peers.inputs import category_pairs, number_pairs

warnings.simplefilter("ignore")
Found = dict[str, dict[str, float]]


def listed(counts: dict[str, int]) -> list[str]:
    return [value for value, rows in counts.items() for _ in range(rows)]


def frouros() -> tuple[str, Found]:
    import frouros.detectors.data_drift as tool

    distances = {
        "psi": tool.PSI, "hellinger": tool.HellingerDistance, "bhattacharyya": tool.BhattacharyyaDistance,
        "hi": tool.HINormalizedComplement, "js": tool.JS, "kl": tool.KL, "emd": tool.EMD, "energy": tool.EnergyDistance,
        "mmd": tool.MMD,
    }  # fmt: skip
    tests = {
        "ks": tool.KSTest, "cvm": tool.CVMTest, "ad": tool.AndersonDarlingTest, "kuiper": tool.KuiperTest,
        "mwu": tool.MannWhitneyUTest, "welch": tool.WelchTTest, "bws": tool.BWSTest,
    }  # fmt: skip
    out: Found = {}
    for name, (r, c) in number_pairs().items():
        found: dict[str, float] = {}
        for score, kind in {**distances, **tests}.items():
            detector = kind()
            detector.fit(X=r)
            answer = detector.compare(X=c)[0]
            if score in distances:
                found[score] = float(answer.distance)
            else:
                found |= {score: float(answer.statistic), f"{score}_p": float(answer.p_value)}
        del found["bws_p"], found["kuiper"]  # drawn without a seed; Kolmogorov-Smirnov's
        out[f"numbers/{name}"] = found
    for name, (before, after) in category_pairs().items():
        detector = tool.ChiSquareTest()
        detector.fit(X=np.array(listed(before), dtype="<U1"))
        answer = detector.compare(X=np.array(listed(after), dtype="<U1"))[0]
        out[f"counts/{name}"] = {"chi2": float(answer.statistic), "chi2_p": float(answer.p_value)}
    return f"frouros {version('frouros')}", out


def alibi() -> tuple[str, Found]:
    from alibi_detect.cd import ChiSquareDrift, CVMDrift, FETDrift, KSDrift

    def one(kind: Any, r: np.ndarray, c: np.ndarray) -> tuple[float, float]:
        data = kind(r.reshape(-1, 1), p_val=0.05).predict(c.reshape(-1, 1))["data"]
        return float(data["p_val"][0]), float(data["distance"][0])

    out: Found = {}
    for name, (r, c) in number_pairs().items():
        p, distance = one(KSDrift, r, c)
        cvm_p, cvm = one(CVMDrift, r, c)
        out[f"numbers/{name}"] = {"p_val": p, "distance": distance, "cvm_p": cvm_p, "cvm": cvm}
        if set(np.unique(np.concatenate([r, c]))) <= {0.0, 1.0}:
            fet_p, odds = one(FETDrift, r.astype(bool), c.astype(bool))
            out[f"numbers/{name}"] |= {"fet_p": fet_p, "fet": odds}
    for name, (before, after) in category_pairs().items():
        codes = [np.array([ord(v) for v in listed(side)]) for side in (before, after)]
        p, distance = one(ChiSquareDrift, *codes)
        out[f"counts/{name}"] = {"p_val": p, "distance": distance}
    return f"alibi-detect {version('alibi-detect')}", out


def tabular() -> dict[str, Any]:
    """TabularDrift of columns of equal length, some of them shifted: p-values, and what either correction says."""
    from alibi_detect.cd import TabularDrift

    from tests.peers.inputs import tables

    out = {}
    for name, (before, after) in tables().items():
        said = {}
        for correction in ("bonferroni", "fdr"):
            answer = TabularDrift(before, p_val=0.05, categories_per_feature={0: None}, correction=correction).predict(after)
            said[correction] = int(answer["data"]["is_drift"])
        out[name] = said
    return out


def scouter() -> tuple[str, Found]:
    import polars
    from scouter.drift import Drifter, EqualWidthBinning, PsiDriftConfig, QuantileBinning

    out: Found = {}
    for name, (r, c) in number_pairs().items():
        found = {}
        for score, bins in (("psi", QuantileBinning(10)), ("psi_equal_width", EqualWidthBinning())):
            profile = Drifter().create_drift_profile(r.reshape(-1, 1), PsiDriftConfig(binning_strategy=bins))
            found[score] = next(iter(Drifter().compute_drift(c.reshape(-1, 1), profile).features.values()))
        out[f"numbers/{name}"] = found
    for name, (before, after) in category_pairs().items():
        frames = [polars.DataFrame({"x": listed(side), "y": np.arange(float(sum(side.values())))}) for side in (before, after)]
        profile = Drifter().create_drift_profile(frames[0], PsiDriftConfig(categorical_features=["x"]))
        out[f"counts/{name}"] = {"psi": Drifter().compute_drift(frames[1], profile).features["x"]}
    return f"scouter-ml {version('scouter-ml')}", out


def whylogs() -> tuple[str, Found]:
    import pandas
    import whylogs as tool
    from whylogs.viz.drift.column_drift_algorithms import KS, ChiSquare, Hellinger

    def views(r: Any, c: Any) -> list[Any]:
        return [tool.log(pandas.DataFrame({"x": side})).view().get_column("x") for side in (r, c)]

    out: Found = {}
    for name, (r, c) in number_pairs().items():
        if len(r) <= 500:  # a sketch of more rows is random
            before, after = views(r, c)
            ks = KS().calculate(after, before)
            hellinger = Hellinger().calculate(after, before)
            out[f"numbers/{name}"] = {"ks": ks.statistic, "ks_p": ks.pvalue, "hellinger": hellinger.statistic}
    for name, pair in category_pairs().items():
        before, after = views(*map(listed, pair))
        chi = ChiSquare().calculate(after, before)
        out[f"counts/{name}"] = {"chi2": chi.statistic, "chi2_p": chi.pvalue}
    return f"whylogs {version('whylogs')}", out


def sagemaker() -> tuple[str, Found]:
    lines = []
    for name, pair in number_pairs().items():
        lines += [f"numbers\t{name}", *(" ".join(map(repr, side.tolist())) for side in pair)]
    for name, tables in category_pairs().items():
        lines += [f"counts\t{name}", *(" ".join(f"{value} {rows}" for value, rows in side.items()) for side in tables)]
    path = os.environ["DEEQU_CLASSPATH"]
    command = ["java", "-cp", path, str(Path(__file__).parent / "Deequ.java")]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    return Path(path.split(":")[0]).name.removesuffix(".jar"), json.loads(done.stdout)


def azure() -> tuple[str, Found]:
    from pyspark.sql import SparkSession
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chisquare

    spark = SparkSession.builder.master("local[1]").getOrCreate().sparkContext

    def psi(first: list[int], second: list[int]) -> float:
        pairs = [
            ((a + 1) / (sum(first) + len(first)), (b + 1) / (sum(second) + len(second))) for a, b in zip(first, second, strict=True)
        ]
        return sum((q - p) * math.log(q / p) for p, q in pairs)

    out: Found = {}
    for name, (r, c) in number_pairs().items():
        bins = math.ceil(math.log2(min(len(r), len(c))) + 1)
        low, high = float(min(r.min(), c.min())), float(max(r.max(), c.max()))
        edges = [low, *(low + i * ((high - low) / bins) for i in range(1, bins + 1))]
        first, second = (spark.parallelize(side.tolist()).histogram(edges)[1] for side in (r, c))
        smoothed = [[(n + 1) / (len(side) + bins) for n in counts] for counts, side in ((first, r), (second, c))]
        score = sum((q - p) * math.log(q / p) for p, q in zip(*smoothed, strict=True))
        out[f"numbers/{name}"] = {"jensen_shannon": float(jensenshannon(first, second, base=2)), "psi": score}
    for name, (before, after) in category_pairs().items():
        values = sorted(set(before) | set(after))
        first, second = ([side.get(v, 0) for v in values] for side in (before, after))
        expected = [n / sum(first) * sum(second) for n in first]
        out[f"counts/{name}"] = {
            "jensen_shannon": float(jensenshannon(first, second, base=2)), "psi": psi(first, second),
            "chi2_p": float(chisquare(second, expected).pvalue),
        }  # fmt: skip
    return f"azureml-assets at 9d199b02 and a1f46050, pyspark {version('pyspark')}", out


TOOLS = {"frouros": frouros, "alibi": alibi, "scouter": scouter, "whylogs": whylogs, "sagemaker": sagemaker, "azure": azure}

if __name__ == "__main__":
    release, numbers = TOOLS[sys.argv[1]]()
    held: dict[str, Any] = {"release": release, "numbers": numbers}
    if sys.argv[1] == "alibi":
        held["tables"] = tabular()
    print(json.dumps(held, indent=1))
