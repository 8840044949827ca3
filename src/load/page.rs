//! Reports as one page that needs nothing else: no script, no font, no picture from anywhere.

use std::fmt::Write as _;

use super::{
    LoadError, Machine, Report, picture,
    table::{HEAD, cells, held, remarks, summary},
};

/// Colours of the pictures are `picture`'s; here they get their meaning, by light and in the dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7c; --paper: #fbfbf9; --card: #ffffff; --rule: #d9dee5;
  --first: #2563a8; --second: #c2571a; --grid: #8b97a6; --kill: #b3261e; --good: #19704a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa7b7; --paper: #14181e; --card: #1c222b;
  --rule: #323b48; --first: #6cabf0; --second: #f0965a; --grid: #7d8a9a; --kill: #ff7b72; --good: #5bc896; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; } p { margin: .25rem 0; } .soft { color: var(--soft); }
.bad { color: var(--kill); font-weight: 600; } .good { color: var(--good); }
.wide { overflow-x: auto; border: 1px solid var(--rule); border-radius: 6px; background: var(--card); margin: .75rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
tr:last-child > * { border-bottom: 0; } thead th { color: var(--soft); font-weight: 600; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
.rules td:last-child { text-align: left; white-space: normal; min-width: 10rem; }
figure { margin: 1rem 0; padding: .75rem; overflow-x: auto; border: 1px solid var(--rule); border-radius: 6px; background: var(--card); }
figcaption { font-weight: 600; margin-bottom: .25rem; } figcaption i { font-style: normal; font-weight: 400; color: var(--soft); }
svg { display: block; width: 100%; min-width: 34rem; height: auto; } svg text { fill: var(--soft); font-family: system-ui, sans-serif; }
.first { color: var(--first); } .second { color: var(--second); } .kill { color: var(--kill); }
svg [fill=\"#101001\"] { fill: var(--first); } svg [stroke=\"#101001\"] { stroke: var(--first); }
svg [stroke=\"#101002\"] { stroke: var(--second); } svg [stroke=\"#101003\"] { stroke: var(--grid); }
svg [stroke=\"#101004\"] { stroke: var(--kill); stroke-dasharray: 5 4; }
";

/// One page of all reports, as HTML.
///
/// # Errors
/// A picture cannot be drawn.
pub fn page(reports: &[Report], machine: &Machine) -> Result<String, LoadError> {
    let mut html = String::new();
    let commit = option_env!("OTPD_COMMIT").map(|commit| format!(", commit {}", escaped(commit))).unwrap_or_default();
    // Writing to a text in memory does not fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>otpd load</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>otpd under load</h1>\n\
         <p class=\"soft\">otpd {}{commit} on {} cores, {}, Linux {}. Client and server share them.</p>\n",
        env!("CARGO_PKG_VERSION"),
        machine.cores,
        escaped(&machine.cpu),
        escaped(&machine.kernel),
    );
    for report in reports {
        section(&mut html, report)?;
    }
    html.push_str("</body>\n</html>\n");
    Ok(html)
}

fn section(html: &mut String, report: &Report) -> Result<(), LoadError> {
    let _ =
        write!(html, "<h2>{}</h2>\n<p class=\"soft\">{}</p>\n", escaped(report.scenario), escaped(&summary(report)));
    for remark in remarks(report) {
        let class = if remark.starts_with("UNEXPECTED") { " class=\"bad\"" } else { "" };
        let _ = writeln!(html, "<p{class}>{}</p>", escaped(&remark));
    }
    let rows = report.rows.iter().chain([&report.total]).map(cells);
    table(html, "", &HEAD, rows);
    if !report.invariants.is_empty() {
        html.push_str("<h3>What must hold</h3>\n");
        let rows = report
            .invariants
            .iter()
            .map(|rule| [rule.name.to_owned(), rule.checked.to_string(), held(rule.broken), rule.meaning.to_owned()]);
        table(html, "rules", &["RULE", "CHECKED", "", ""], rows);
    }
    let kills = if report.kills.is_empty() { "" } else { " · <span class=\"kill\">kill -9</span>" };
    figure(html, "Latency <i>how many requests took how long</i>", picture::latencies(report)?);
    figure(html, &format!("Throughput <i>each second{kills}</i>"), picture::throughput(report)?);
    let lines = "<span class=\"first\">p50</span> · <span class=\"second\">p99</span>";
    figure(html, &format!("Latency over time <i>{lines}{kills}</i>"), picture::percentiles(report)?);
    Ok(())
}

/// `caption` is markup of our own.
fn figure(html: &mut String, caption: &str, svg: Option<String>) {
    if let Some(svg) = svg {
        let _ = writeln!(html, "<figure><figcaption>{caption}</figcaption>\n{svg}</figure>");
    }
}

fn table<const N: usize>(html: &mut String, class: &str, head: &[&str; N], rows: impl Iterator<Item = [String; N]>) {
    let _ = write!(html, "<div class=\"wide\"><table class=\"{class}\">\n<thead><tr>");
    for title in head {
        let _ = write!(html, "<th>{}</th>", escaped(title));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let (tag, class) = match (at, cell.as_str()) {
                (0, _) => ("th", ""),
                (_, "holds") => ("td", " class=\"good\""),
                (_, cell) if cell.starts_with("BROKEN") => ("td", " class=\"bad\""),
                _ => ("td", ""),
            };
            let _ = write!(html, "<{tag}{class}>{}</{tag}>", escaped(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n");
}

/// Text as text, whatever stands in it.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        let machine = Machine { cores: 2, cpu: "<script>x</script>".to_owned(), kernel: "6\"&'".to_owned() };
        let page = page(&[], &machine).unwrap();
        assert!(page.contains("&lt;script&gt;x&lt;/script&gt;") && page.contains("6&quot;&amp;&#39;"));
        assert!(!page.contains("<script"));
    }
}
