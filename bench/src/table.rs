//! Formats the results of the command `compare` as Markdown: a table of figures, and a table of ratios to the ceiling
//! server (a minimal reference server).

use std::fmt::Write as _;

use crate::{
    comparison::{Comparison, Run},
    report::Report,
    setup::CEILING_AGAIN,
    stats::Spread,
};

/// Formats both tables, with a description of the measurements above them.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let method = &comparison.method;
    let mut out = comparison.about.head("Fan-out beside the ceiling");
    writeln!(
        out,
        "{} passes of {} s each after {} s, servers in turns, pictures dropped in the kernel. Median (min–max) over the passes; age \
         is from `X-Timestamp` to the last byte.\n",
        method.runs, method.seconds, method.warmup_seconds,
    )
    .expect("a string takes all text");
    figures(&mut out, comparison);
    ratios(&mut out, comparison);
    out
}

fn figures(out: &mut String, comparison: &Comparison) {
    out.push_str(
        "| viewers | server | fps median | fps min | CPU % | CPU s/GB | CPU µs/frame | RSS MiB | age p50 ms \
         | age p99 ms | server waited % | load busy % |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (viewers, server) in rows(comparison) {
        let runs = select(comparison, viewers, server);
        let middle = |figure: fn(&Report) -> f64| spread(&runs, figure).median;
        let cost = spread(&runs, cost);
        let age = spread(&runs, age_p50);
        writeln!(
            out,
            "| {viewers} | {server} | {:.1} | {:.1} | {:.1} | {:.2} ({:.2}–{:.2}) | {:.0} | {:.1} \
             | {:.1} ({:.1}–{:.1}) | {:.1} | {:.0} | {:.0} |",
            middle(fps),
            middle(|report| report.full.fps_min),
            middle(|report| report.of_server(|server| server.cpu_percent)),
            cost.median,
            cost.min,
            cost.max,
            middle(|report| report.of_server(|server| server.cpu_us_per_frame)),
            middle(rss_mib),
            age.median,
            age.min,
            age.max,
            middle(|report| report.full.age_p99_ms),
            middle(|report| report.of_server(|server| server.waited_percent)),
            middle(|report| report.load.cpu_percent + report.load.waited_percent),
        )
        .expect("a string takes all text");
    }
    let faults: u64 = comparison.runs.iter().map(|run| run.report.faults()).sum();
    writeln!(out, "\nTorn or reordered pictures and closed viewers, in all runs: {faults}.\n")
        .expect("a string takes all text");
}

/// Appends a table with the ratios of each server to the ceiling server. If there are several Framecasts, appends a
/// second table with the ratios of each further Framecast to the first. The ratio of the ceiling server's second
/// measurement to its first shows the noise of the machine.
fn ratios(out: &mut String, comparison: &Comparison) {
    let Some((ceiling, others)) = comparison.about.servers.split_first() else {
        return;
    };
    if others.is_empty() {
        return;
    }
    let to_ceiling: Vec<_> = others.iter().map(|server| (server, ceiling)).collect();
    ratio_table(out, comparison, "Against the ceiling of the same pass, median (min–max):", &to_ceiling);
    let framecasts: Vec<_> = others.iter().filter(|server| *server != CEILING_AGAIN).collect();
    let Some((first, further)) = framecasts.split_first().filter(|(_, further)| !further.is_empty()) else {
        return;
    };
    let mut pairs: Vec<_> = further.iter().map(|server| (*server, *first)).collect();
    pairs.extend(others.iter().filter(|server| *server == CEILING_AGAIN).map(|again| (again, ceiling)));
    let title = "Against another server of the same pass, median (min–max); what the ceiling shows against itself is noise:";
    out.push('\n');
    ratio_table(out, comparison, title, &pairs);
}

/// Appends a table of ratios to `out`. For each pair of servers, the figures of the first are divided by those of the
/// second in the same pass.
fn ratio_table(out: &mut String, comparison: &Comparison, title: &str, pairs: &[(&String, &String)]) {
    writeln!(
        out,
        "{title}\n\n| viewers | server | against | CPU s/GB | fps | RSS | age p50 |\n|---|---|---|---|---|---|---|"
    )
    .expect("a string takes all text");
    for &viewers in &comparison.method.viewers {
        for (server, base) in pairs {
            let ratio = |figure: fn(&Report) -> f64| {
                let of = |name| {
                    let runs = select(comparison, viewers, name);
                    runs.into_iter().map(move |run| (run.pass, figure(&run.report)))
                };
                let Spread { median, min, max } = Spread::of_ratios(of(server), of(base));
                format!("{median:.3} ({min:.2}–{max:.2})")
            };
            writeln!(
                out,
                "| {viewers} | {server} | {base} | {} | {} | {} | {} |",
                ratio(cost),
                ratio(fps),
                ratio(rss_mib),
                ratio(age_p50)
            )
            .expect("a string takes all text");
        }
    }
}

fn rows(comparison: &Comparison) -> impl Iterator<Item = (usize, &str)> {
    comparison
        .method
        .viewers
        .iter()
        .flat_map(|&viewers| comparison.about.servers.iter().map(move |server| (viewers, server.as_str())))
}

fn select<'a>(comparison: &'a Comparison, viewers: usize, server: &str) -> Vec<&'a Run> {
    comparison.runs.iter().filter(|run| run.viewers == viewers && run.server == server).collect()
}

fn spread(runs: &[&Run], figure: fn(&Report) -> f64) -> Spread {
    Spread::of(runs.iter().map(|run| figure(&run.report)))
}

fn cost(report: &Report) -> f64 {
    report.of_server(|server| server.cpu_seconds_per_gb)
}

fn rss_mib(report: &Report) -> f64 {
    report.of_server(|server| server.rss_kib as f64 / 1024.0)
}

fn fps(report: &Report) -> f64 {
    report.full.fps_median
}

fn age_p50(report: &Report) -> f64 {
    report.full.age_p50_ms
}
