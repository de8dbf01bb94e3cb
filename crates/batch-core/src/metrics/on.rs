use crate::Report;

/// Counts a commit's operations by store and answer, its requests, and its time.
pub(crate) fn committed(report: &Report) {
    let store = report.store();
    for (answer, count) in [
        ("applied", report.applied()),
        ("not_applied", report.not_applied()),
        ("accepted", report.accepted()),
        ("unknown", report.unknown()),
    ] {
        metrics::counter!("unibatch_operations_total", "store" => store, "answer" => answer)
            .increment(count);
    }
    metrics::counter!("unibatch_requests_total", "store" => store).increment(report.attempts());
    metrics::counter!("unibatch_retries_total", "store" => store).increment(report.retries());
    metrics::histogram!("unibatch_commit_seconds", "store" => store)
        .record(report.elapsed().as_secs_f64());
}
