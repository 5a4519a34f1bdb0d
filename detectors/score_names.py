"""The names of all scores, as they stand in results, thresholds and rules."""

SCORE_NAMES = frozenset(
    """
    count missing_share mean std min max p01 p05 p25 p50 p75 p95 p99
    psi ks ks_p js wasserstein new_categories new_category_share chi2 chi2_p
    latency_p50_ms latency_p95_ms latency_p99_ms rows throughput_eps error_share
    coverage accuracy precision recall f1 roc_auc brier log_loss mae rmse r2
    """.split()
)
