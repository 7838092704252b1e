"""Reference values of the statistics, by SciPy and statsmodels, on standard output.

    python tests/peers/reference_statistics.py > reports/src/statistics/reference.json

Every case has its samples and what the named function makes of them. The samples come from a fixed seed.
"""

import argparse
import json
import math
import sys
import warnings
from pathlib import Path

import numpy
import pandas
import scipy
import statsmodels
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats import contingency_tables, multitest, power
from statsmodels.stats.anova import anova_lm

COMMITTED = Path(__file__).parents[2] / "reports/src/statistics/reference.json"
# Relative; another processor adds in another order.
TOLERANCE = 1e-9
draw = numpy.random.default_rng(20)


def listed(values):
    return [float(value) for value in values]


def paired_t():
    for n, shift in [(2, 0.1), (8, 0.5), (60, 0.05), (500, -0.2)]:
        model, baseline = draw.normal(shift, 1, n), draw.normal(0, 1, n)
        test = stats.ttest_rel(model, baseline)
        interval = test.confidence_interval(0.95)
        yield {
            "differences": listed(model - baseline),
            "mean": float(numpy.mean(model - baseline)),
            "stderr": float(stats.sem(model - baseline)),
            "p": float(test.pvalue),
            "low": float(interval.low),
            "high": float(interval.high),
            "alpha": 0.001,
            "power": 0.8,
            "smallest": float((stats.t.ppf(0.9995, n - 1) + stats.t.ppf(0.8, n - 1)) * stats.sem(model - baseline)),
            # By the noncentral t, which the quantiles above stand for.
            "smallest_noncentral": float(
                power.TTestPower().solve_power(None, n, 0.001, 0.8) * numpy.std(model - baseline, ddof=1)
            )
            if n > 8
            else None,
        }


def welch():
    for n, m in [(3, 5), (10, 10), (40, 7)]:
        a, b = draw.normal(0.2, 0.1, n), draw.normal(0.1, 0.3, m)
        test = stats.ttest_ind(a, b, equal_var=False)
        yield {"a": listed(a), "b": listed(b), "p": float(test.pvalue), "degrees": float(test.df)}


def mcnemar():
    for gained, lost in [(0, 0), (0, 5), (3, 3), (4, 13), (13, 4), (120, 171)]:
        exact = contingency_tables.mcnemar([[10, gained], [lost, 20]], exact=True).pvalue
        yield {"gained": gained, "lost": lost, "exact": float(exact)}


def connor():
    """The root of Connor's equation, found by bisection."""
    for n, discordant, alpha, wanted in [(1000, 0.1, 0.05, 0.8), (10042, 0.1, 0.05, 0.8), (500, 0.2, 0.00025, 0.9)]:
        z, w = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(wanted)
        equation = lambda d: d * n**0.5 - z * discordant**0.5 - w * (discordant - d * d) ** 0.5
        root = scipy.optimize.brentq(equation, 0, discordant, xtol=1e-15)
        yield {"n": n, "discordant": discordant, "alpha": alpha, "power": wanted, "smallest": float(root)}


def families():
    for p in [[0.01, 0.04, 0.03, 0.005, 0.5], [0.2], [0.9, 0.9, 1.0, 1e-9], listed(draw.uniform(0, 1, 30) ** 4)]:
        yield {
            "p": p,
            "holm": listed(multitest.multipletests(p, method="holm")[1]),
            "benjamini_hochberg": listed(multitest.multipletests(p, method="fdr_bh")[1]),
        }


def seeds():
    """Mean squares by statsmodels' analysis of variance; the rest follows from them by its definition."""
    for s, n, between in [(3, 8, 1.0), (5, 40, 0.3), (3, 200, 0.0)]:
        values = draw.normal(0, 1, n) + draw.normal(0, between, (s, 1)) + draw.normal(0.2, 0.5, (s, n))
        index = numpy.indices((s, n))
        frame = pandas.DataFrame({"x": values.ravel(), "seed": index[0].ravel(), "item": index[1].ravel()})
        table = anova_lm(ols("x ~ C(seed) + C(item)", frame).fit())
        squares = dict(table["mean_sq"])
        a, b, rest = squares["C(seed)"], squares["C(item)"], squares["Residual"]
        combined = max(a + b - rest, rest)
        parts = a * a / (s - 1) + b * b / (n - 1) + rest * rest / ((s - 1) * (n - 1))
        yield {
            "values": [listed(row) for row in values],
            "mean": float(values.mean()),
            "stderr": float((combined / (n * s)) ** 0.5),
            "degrees": float(combined**2 / parts),
        }


def perplexity():
    """The delta method with a covariance of numerator and denominator."""
    for n in [3, 40]:
        units = draw.integers(5, 60, n)
        nll = units * draw.normal(3, 0.2, n)
        ratio = nll.sum() / units.sum()
        covariance = numpy.cov(nll, units, ddof=1)
        slope = numpy.array([1, -ratio]) / units.mean()
        error = (slope @ covariance @ slope / n) ** 0.5
        yield {
            "nll": listed(nll),
            "units": listed(units),
            "perplexity": float(numpy.exp(ratio)),
            "stderr": float(numpy.exp(ratio) * error),
        }


def differences(here, there, path):
    """Where two values of JSON are not the same."""
    if isinstance(here, float) and isinstance(there, (int, float)):
        if not math.isclose(here, there, rel_tol=TOLERANCE, abs_tol=1e-300):
            yield f"{path}: {here} here, {there} in {COMMITTED.name}"
    elif isinstance(here, (dict, list)) and type(here) is type(there) and len(here) == len(there):
        for key in here if isinstance(here, dict) else range(len(here)):
            yield from differences(here[key], there[key], f"{path}.{key}")
    elif here != there:
        yield f"{path}: {here} here, {there} in {COMMITTED.name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smallest", action="store_true", help=f"compare with {COMMITTED.name} instead of printing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    groups = [paired_t, welch, mcnemar, connor, families, seeds, perplexity]
    reference = {group.__name__: list(group()) for group in groups}
    versions = {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
    reference = {"made_by": versions, **reference}
    if options.smallest:
        committed = json.loads(COMMITTED.read_text())
        found = list(differences(reference, {name: committed.get(name) for name in reference}, "reference"))
        if found:
            sys.exit("\n".join(found))
        print(f"{sum(map(len, reference.values()))} cases are those of {COMMITTED.name}")
    else:
        json.dump(reference, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
