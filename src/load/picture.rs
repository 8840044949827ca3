//! The pictures of a report, as SVG that a page holds. Colours are names that the page's style gives a meaning to, so that
//! a page can be light or dark.

use plotters::{coord::ranged1d::ValueFormatter, prelude::*, style::RGBColor};

use super::{LoadError, Report, Second, table};

/// Width and height, in the picture's own units.
const SIZE: (u32, u32) = (720, 240);
/// What the page's style paints as the first and the second line, the grid, and a kill.
const FIRST: RGBColor = RGBColor(0x10, 0x10, 0x01);
const SECOND: RGBColor = RGBColor(0x10, 0x10, 0x02);
const GRID: RGBColor = RGBColor(0x10, 0x10, 0x03);
const KILL: RGBColor = RGBColor(0x10, 0x10, 0x04);

/// What drawing may fail with; a text in memory never does.
fn failed(error: impl std::fmt::Display) -> LoadError {
    LoadError::new(format!("a picture cannot be drawn: {error}"))
}

/// How many requests took how long; time in powers of ten.
pub(super) fn latencies(report: &Report) -> Result<Option<String>, LoadError> {
    let filled: Vec<(u64, u64)> = report.histogram.iter().copied().filter(|(_, count)| *count > 0).collect();
    let (Some(first), Some(last)) = (filled.first(), filled.last()) else { return Ok(None) };
    let (from, to) = (first.0 as f64 / STEP / STEP, last.0 as f64 * STEP);
    let highest = filled.iter().map(|(_, count)| *count).max().unwrap_or(1) as f64;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let mut chart =
            margins(&area).build_cartesian_2d((from..to).log_scale(), 0.0..highest * 1.05).map_err(failed)?;
        mesh(&mut chart, "ms", &|us| table::ms(whole(*us)), &|count| figure(*count))?;
        let bars = report.histogram.iter().filter(|(_, count)| *count > 0).map(|(upper, count)| {
            let upper = *upper as f64;
            Rectangle::new([(upper / STEP, 0.0), (upper, *count as f64)], FIRST.filled())
        });
        chart.draw_series(bars).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(Some(text))
}

/// Width of a bar of the histogram: 20 to each power of ten.
const STEP: f64 = 1.122_018_454_301_963_3;

/// Requests per second as the seconds pass.
pub(super) fn throughput(report: &Report) -> Result<Option<String>, LoadError> {
    let of = |second: &Second| second.requests as f64;
    over_time(report, &[(FIRST, &of)], "requests per second", &|count| figure(*count))
}

/// Median and 99th percentile as the seconds pass.
pub(super) fn percentiles(report: &Report) -> Result<Option<String>, LoadError> {
    let p50 = |second: &Second| second.p50_us as f64 / 1000.0;
    let p99 = |second: &Second| second.p99_us as f64 / 1000.0;
    over_time(report, &[(FIRST, &p50), (SECOND, &p99)], "ms", &|ms| table::ms(whole(*ms * 1000.0)))
}

type Line<'a> = (RGBColor, &'a dyn Fn(&Second) -> f64);

fn over_time(
    report: &Report,
    lines: &[Line<'_>],
    unit: &str,
    words: &dyn Fn(&f64) -> String,
) -> Result<Option<String>, LoadError> {
    let seconds = &report.seconds;
    if seconds.len() < 2 {
        return Ok(None);
    }
    let at = |second: &Second| second.at_s as f64 + 0.5;
    let highest = lines.iter().flat_map(|(_, of)| seconds.iter().map(of)).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let end = seconds.last().map_or(1.0, |second| second.at_s as f64 + 1.0);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let mut chart = margins(&area).build_cartesian_2d(0.0..end, 0.0..highest * 1.08).map_err(failed)?;
        mesh(&mut chart, "s", &|s| format!("{s:.0}"), words)?;
        for (colour, of) in lines {
            let points = seconds.iter().map(|second| (at(second), of(second)));
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).map_err(failed)?;
        }
        for kill in report.kills.iter().filter(|kill| kill.at_s <= end) {
            let line = [(kill.at_s, 0.0), (kill.at_s, highest * 1.08)];
            chart.draw_series(LineSeries::new(line, KILL.stroke_width(2))).map_err(failed)?;
        }
        chart
            .plotting_area()
            .strip_coord_spec()
            .draw(&Text::new(unit.to_owned(), (6, 4), words_style()))
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(Some(text))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn margins<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(8).margin_right(16).x_label_area_size(34).y_label_area_size(58);
    builder
}

fn words_style() -> TextStyle<'static> {
    ("sans-serif", 12).into_font().color(&GRID)
}

/// Grid, axes and their figures.
fn mesh<X>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, plotters::coord::types::RangedCoordf64>>,
    x_unit: &str,
    x_words: &dyn Fn(&f64) -> String,
    y_words: &dyn Fn(&f64) -> String,
) -> Result<(), LoadError>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x_unit).x_labels(10).y_labels(5).light_line_style(TRANSPARENT).bold_line_style(GRID.mix(0.35));
    mesh.axis_style(GRID).label_style(words_style()).x_label_formatter(&x_words).y_label_formatter(&y_words);
    mesh.draw().map_err(failed)
}

/// A count with its thousands as k, its millions as M.
fn figure(count: f64) -> String {
    match count {
        1e6.. => format!("{:.1}M", count / 1e6),
        1e4.. => format!("{:.0}k", count / 1e3),
        _ => format!("{count:.0}"),
    }
}

/// The whole part of a figure of an axis.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap_or_default()
}
