//! Draws a folded series as one SVG: the values, what was expected, the band, the alerts.
//!
//! Promises: of bounded size; refers to nothing outside itself, no script and no font; texts are escaped; a title and a
//! description for those who do not see it; colours that stay apart for the colour-blind (Okabe and Ito 2008).
//! Never: joins values between which nothing was measured.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::output::counted;
use super::axis::{Times, Values, written};
use super::columns::{Column, Folded};

const SIZE: (u32, u32) = (1200, 500);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const SKY: RGBColor = RGBColor(86, 180, 233);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(70, 70, 70);
const TITLE_CHARS_MAX: usize = 100;
const TIME: &str = "%Y-%m-%d %H:%M:%S";
/// Columns so many usual distances apart are not joined.
const HOLE: i64 = 20;
/// Room beyond the values as a share of their range: for the band but its farthest tenth, and around both.
const BAND_ROOM: f64 = 0.5;
const BAND_LEFT_OUT: usize = 10;
const MARGIN: f64 = 0.05;
/// Half the width in time of a series that has only one.
const MOMENT_US: i64 = 30_000_000;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Times, Values>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The picture of a series of this name.
pub fn svg(name: &str, folded: &Folded) -> anyhow::Result<String> {
    let name: String = name.chars().map(|c| if is_of_xml(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    let summary = format!("{}, {}", counted(folded.lines, "line"), counted(folded.alerts, "alert"));
    let mut text = String::new();
    let canvas = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    draw(&canvas, &name, &summary, folded)?;
    canvas.present()?;
    drop(canvas);
    Ok(described(&text, &name, &summary))
}

/// What the crate does not write: words for those who do not see the picture.
fn described(svg: &str, name: &str, summary: &str) -> String {
    let (head, body) = svg.split_once('>').unwrap_or((svg, ""));
    let head = head.replacen("<svg", "<svg role=\"img\" aria-labelledby=\"title description\"", 1);
    let (name, words) = (
        escaped(name),
        "value over time in UTC, what was expected of it, the band outside which it alerts, and alerts",
    );
    format!("{head}>\n<title id=\"title\">{name}</title>\n<desc id=\"description\">{summary}: {words}</desc>{body}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether XML can hold the character in any way.
fn is_of_xml(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn draw(canvas: &Canvas, name: &str, summary: &str, folded: &Folded) -> Drawn {
    canvas.fill(&WHITE)?;
    let mut title: String = name.chars().take(TITLE_CHARS_MAX).collect();
    if title.len() < name.len() {
        title.push('…');
    }
    write(canvas, &title, (20, 14), HPos::Left, 24)?;
    write(canvas, summary, (SIZE.0 as i32 - 48, 46), HPos::Right, 17)?;
    let all: Vec<&Column> = folded.iter().collect();
    let (Some(span), Some(values)) = (folded.span, values(&all)) else {
        let (x, y) = (SIZE.0 as i32 / 2, SIZE.1 as i32 / 2);
        return write(canvas, "There is nothing to draw: no line has a value.", (x, y), HPos::Center, 20);
    };
    legend(canvas)?;
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(72)
        .margin_right(48)
        .margin_bottom(8)
        .x_label_area_size(52)
        .y_label_area_size(96)
        .build_cartesian_2d(times(span), values)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(GREY)
        .label_style(("sans-serif", 16, &GREY))
        .axis_desc_style(("sans-serif", 16, &GREY))
        .x_desc(format!("UTC, {} to {}", written(span.0, TIME), written(span.1, TIME)))
        .draw()?;
    series(&mut chart, &all)
}

fn write(canvas: &Canvas, text: &str, at: (i32, i32), side: HPos, size: i32) -> Drawn {
    let style = ("sans-serif", size).into_text_style(canvas).color(&BLACK).pos(Pos::new(side, VPos::Top));
    canvas.draw(&Text::new(text.to_owned(), at, style))
}

fn legend(canvas: &Canvas) -> Drawn {
    let (top, middle) = (46, 54);
    let line = |x: i32, style: ShapeStyle| PathElement::new(vec![(x, middle), (x + 28, middle)], style);
    canvas.draw(&line(96, BLUE.stroke_width(2)))?;
    write(canvas, "value", (130, top), HPos::Left, 17)?;
    canvas.draw(&line(196, ORANGE.stroke_width(1)))?;
    write(canvas, "expected", (230, top), HPos::Left, 17)?;
    canvas.draw(&Rectangle::new([(320, middle - 7), (348, middle + 7)], SKY.mix(0.3).filled()))?;
    write(canvas, "band: a value outside it alerts", (354, top), HPos::Left, 17)?;
    canvas.draw(&Circle::new((602, middle), 5, VERMILION.stroke_width(2)))?;
    write(canvas, "alert", (614, top), HPos::Left, 17)
}

fn times((first, last): (i64, i64)) -> Times {
    let moment = if first == last { MOMENT_US } else { 0 };
    Times::new(first.saturating_sub(moment), last.saturating_add(moment))
}

/// The axis of values; none where there is no value.
fn values(columns: &[&Column]) -> Option<Values> {
    let values = columns.iter().filter_map(|column| column.values);
    let (least, most) = values.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
    let bounded = |value: f64| value.clamp(f64::MIN, f64::MAX);
    let range = if least < most { bounded(most - least) } else { (least.abs() * 0.1).max(1e-9) };
    // Room for the band, within reason: for a while after an alert it may be as wide as can be.
    let bounds = |of: fn((f64, f64)) -> f64| {
        let bounds = columns.iter().filter_map(|column| column.band.map(of));
        let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds
    };
    let (lows, highs) = (bounds(|band| band.0), bounds(|band| band.1));
    let low = lows.get(lows.len() / BAND_LEFT_OUT).copied().unwrap_or(least);
    let high = highs.get((highs.len() - highs.len() / BAND_LEFT_OUT).saturating_sub(1)).copied().unwrap_or(most);
    let low = least.min(low.max(least - BAND_ROOM * range));
    let high = most.max(high.min(most + BAND_ROOM * range));
    Some(Values::new(bounded(low - MARGIN * range), bounded(high + MARGIN * range)))
}

fn series(chart: &mut Chart, columns: &[&Column]) -> Drawn {
    let mut distances: Vec<i64> = columns.windows(2).map(|two| two[1].at_us.saturating_sub(two[0].at_us)).collect();
    distances.sort_unstable();
    let hole = distances.get(distances.len() / 2).map_or(0, |usual| usual.saturating_mul(HOLE));
    for run in runs(columns, hole, |column| column.band) {
        let upper = run.iter().map(|(at, (_, high))| (*at, *high));
        let lower = run.iter().rev().map(|(at, (low, _))| (*at, *low));
        chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), SKY.mix(0.3))])?;
    }
    for run in runs(columns, hole, |column| column.values) {
        line(chart, strokes(&run), BLUE)?;
    }
    for run in runs(columns, hole, |column| Some(column.expected).filter(|_| column.expected_of > 0.0)) {
        line(chart, run, ORANGE)?;
    }
    let alerts = columns.iter().filter_map(|column| Some((column.at_us, column.alert?)));
    chart.draw_series(alerts.map(|at| Circle::new(at, 5, VERMILION.stroke_width(2))))?;
    Ok(())
}

/// A line through these points; of one point alone, a dot.
fn line(chart: &mut Chart, points: Vec<(i64, f64)>, colour: RGBColor) -> Drawn {
    match points[..] {
        [point] => chart.draw_series([Circle::new(point, 2, colour.filled())]).map(drop),
        _ => chart.draw_series([PathElement::new(points, colour)]).map(drop),
    }
}

/// What of the columns is there, cut where it is not and where nothing was measured.
fn runs<T>(columns: &[&Column], hole: i64, part: impl Fn(&Column) -> Option<T>) -> Vec<Vec<(i64, T)>> {
    let mut runs: Vec<Vec<(i64, T)>> = Vec::new();
    let mut before = None;
    for column in columns {
        let Some(part) = part(column) else {
            before = None;
            continue;
        };
        match runs.last_mut() {
            Some(run) if before.is_some_and(|before| column.at_us.saturating_sub(before) <= hole) => {
                run.push((column.at_us, part));
            }
            _ => runs.push(vec![(column.at_us, part)]),
        }
        before = Some(column.at_us);
    }
    runs
}

/// Each column from the end that is nearer to where the line is to the other.
fn strokes(run: &[(i64, (f64, f64))]) -> Vec<(i64, f64)> {
    let mut points: Vec<(i64, f64)> = Vec::with_capacity(2 * run.len());
    for &(at, (low, high)) in run {
        let from = points.last().map_or(low, |point| point.1);
        let (near, far) = if (from - low).abs() <= (from - high).abs() { (low, high) } else { (high, low) };
        points.push((at, near));
        if near != far {
            points.push((at, far));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use detectors::baseline::series::Outlook;

    use super::*;

    fn drawn(points: impl IntoIterator<Item = (i64, f64, bool)>) -> String {
        let mut folded = Folded::default();
        for (second, value, alert) in points {
            let outlook = Outlook { expected: 5.0, low: Some(1.0), high: Some(9.0) };
            folded.add(second * 1_000_000, value, Some(outlook), alert);
        }
        svg("a.csv", &folded).expect("drawn")
    }

    /// The points of each polyline of this colour.
    fn lines(svg: &str, colour: &str) -> Vec<Vec<(i32, i32)>> {
        let pair = |pair: &str| {
            let (x, y) = pair.split_once(',').expect("a pair");
            (x.parse().expect("a pixel"), y.parse().expect("a pixel"))
        };
        let points = |line: &str| -> Option<Vec<(i32, i32)>> {
            let points = line.split_once(" points=\"")?.1.split_once('"')?.0;
            Some(points.split_whitespace().map(pair).collect())
        };
        // The legend has one of each.
        svg.lines().filter(|line| line.contains("<poly") && line.contains(colour)).skip(1).filter_map(points).collect()
    }

    #[test]
    fn a_line_ends_where_a_value_is_missing_and_where_nothing_was_measured() {
        let hole = |second: i64| if second < 60 { second } else { second + 1000 };
        let value = |second: i64| if second == 20 { f64::NAN } else { 5.0 + (second % 2) as f64 };
        let svg = drawn((0..100).map(|second| (hole(second), value(second), false)));
        let got: Vec<usize> = lines(&svg, "#0072B2").iter().map(Vec::len).collect();
        assert_eq!(got, [20, 39, 40]);
    }

    #[test]
    fn values_lie_higher_the_greater_and_further_right_the_later() {
        let svg = drawn([(0, 1.0, false), (10, 9.0, true), (20, 5.0, false)]);
        let line = &lines(&svg, "#0072B2")[0];
        assert!(line[0].0 < line[1].0 && line[1].0 < line[2].0, "{line:?}");
        assert!(line[0].1 > line[2].1 && line[2].1 > line[1].1, "{line:?}");
        let (x, y) = line[1];
        assert!(svg.contains(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"5\"")), "{svg}");
        let expected = &lines(&svg, "#E69F00")[0];
        assert!(expected.iter().all(|point| point.1 == line[2].1), "{expected:?} {line:?}");
    }

    #[test]
    fn a_million_lines_are_a_small_file_with_every_alert() {
        let value = |at: i64| ((at * 7919) % 1000) as f64;
        let svg = drawn((0..1_000_000).map(|at| (at * 60, value(at), at % 100_000 == 50_000)));
        assert!(svg.len() < 200_000, "{}", svg.len());
        assert_eq!(svg.matches("<circle ").count(), 1 + 10);
        assert!(svg.contains("1,000,000 lines, 10 alerts"));
    }

    #[test]
    fn one_value_a_constant_and_enormous_values_are_drawn() {
        let one = drawn([(0, 5.0, false)]);
        assert!(one.contains("<circle ") && one.contains("r=\"2\""), "{one}");
        let constant = drawn((0..50).map(|at| (at, -7.0, false)));
        assert_eq!(lines(&constant, "#0072B2")[0].len(), 50);
        let values = [f64::MAX, f64::MIN, 1e300, 0.0, -1e-300];
        let enormous = drawn((0..50).map(|at| (at, values[at as usize % 5], at == 7)));
        let inside = |point: &(i32, i32)| (0..=1200).contains(&point.0) && (0..=500).contains(&point.1);
        assert!(lines(&enormous, "#0072B2")[0].iter().all(inside));
        assert!(enormous.contains("e308"), "{enormous}");
        for times in [[i64::MIN / 1_000_000, i64::MAX / 1_000_000], [-1, 0]] {
            let svg = drawn(times.map(|at| (at, 1.0, false)));
            assert!(svg.ends_with("</svg>\n"), "{svg}");
        }
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        let name = format!("\u{1}<script>&\"'{}", "x".repeat(300));
        let svg = svg(&name, &Folded::default()).expect("drawn");
        assert!(!svg.contains("<script") && !svg.contains('\u{1}'), "{svg}");
        assert!(svg.contains(&format!("\u{fffd}&lt;script&gt;&amp;\"'{}</title>", "x".repeat(300))), "{svg}");
        assert!(svg.contains("xxx…\n"), "{svg}");
    }
}
