//! `gatewatch baseline [FILE]`: any series `timestamp,value` scored by the baseline method, one line out per line in.
//!
//! Promises: online, so line n of the output depends on lines 1 to n of the input only; timestamp and value are copied
//! as they were written; a line that cannot be read stops the run with its number and what was expected, after all
//! lines before it have been written. A value that is empty or no number is scored 0 and taught to nobody. The first four
//! columns are as they are, whatever else is asked for.
//! Never: holds more than one line, and for a picture a bounded number of columns (`columns`); sorts.

mod axis;
mod columns;
mod picture;
mod plot;

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use detectors::baseline::series::{Outlook, Series, SeriesParams};

use self::columns::Folded;
use self::plot::Plot;
use super::{Failure, output, usage};
use crate::ingest::{file, unpack};

const HEADER: &str = "timestamp,value,anomaly_score,alert,expected,low,high";
const LINE_BYTES_MAX: u64 = 64 * 1024;
const TIMESTAMP_EXPECTED: &str =
    "expected RFC 3339, YYYY-MM-DD HH:MM:SS (taken as UTC), or seconds or milliseconds since 1970";
const FORMATS: [&str; 4] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];

/// Score any series of numbers, online; a sibling of the `baseline` method of detectors.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch baseline cpu.csv > scored.csv
  gatewatch baseline cpu.csv --plot cpu.svg > scored.csv
  zcat requests.csv.gz | gatewatch baseline

The file has lines `timestamp,value`, with or without a header; a header that names the columns
timestamp and value says where they are. Each line is judged by the lines before it alone.
The output adds:

  anomaly_score  0 to 1; 0.44 is the bar
  alert          0 or 1
  expected       what the lines before led to expect of this one: the value of the season where a
                 day or a week is established, else the level just before
  low, high      the band: a value below low or above high alerts. It is 4.35 spreads out or more,
                 and in this very series comes at most 7 times in 10,000: by itself, by its jump
                 from the level just before, or by its distance from the season. Up to the 100th
                 line more is asked, and after an alert until it has faded (the same again is no
                 news): the band is wider then. Empty: no value alerts, as in the first 49 lines

A line inside the band alerts by what several lines add up to: a drift, a season that stays away,
a series that shakes or freezes. Where a season is taken up or dropped with the very line, the
band is that of before. An empty value, or one that is no number, never alerts.")]
pub struct Args {
    /// A CSV file, plain, gzip or zstd; without one, or with -, standard input.
    file: Option<PathBuf>,
    /// Draw values, expected values, band and alerts into this SVG file, which is overwritten. A long series is drawn as
    /// 2,000 columns at most, with the least and greatest value and the widest band of each.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub fn command(args: &Args) -> Result<(), Failure> {
    let file = args.file.as_deref().filter(|path| path.as_os_str() != "-");
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let plot = args.plot.as_deref().map(|path| Plot::new(path, file)).transpose().map_err(usage)?;
    let input = open(file).map_err(usage)?;
    Ok(run(input, &name, &mut io::stdout().lock(), plot)?)
}

fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn Read + Send>> {
    match file {
        Some(path) => Ok(file::unpacked(path)?),
        None => unpack::unpack(io::stdin()).context("standard input"),
    }
}

/// Scores a series and writes it to `out`; draws what was read.
fn run(input: impl Read, name: &str, out: &mut dyn Write, mut plot: Option<Plot>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    let folded = plot.as_mut().map(|plot| &mut plot.folded);
    let done = score_lines(&mut BufReader::new(input), &mut out, folded);
    let written = out.flush().context("cannot write the scores");
    if written.as_ref().err().or(done.as_ref().err()).is_some_and(output::is_broken_pipe) {
        if plot.is_some() {
            output::stderr_line(&format!("{name}: not drawn: nobody reads the scores to their end (> /dev/null does)"));
        }
    } else if let Some(plot) = plot {
        plot.write()?;
    }
    written?;
    let unread = done.map_err(|stop| stop.context(format!("{name}: stopped; the lines before were scored")))?;
    if unread > 0 {
        let (values, are) = (output::counted(unread, "value"), if unread == 1 { "is" } else { "are" });
        output::stderr_line(&format!("{name}: {values} {are} empty or no number: scored 0 and not learned from"));
    }
    Ok(())
}

/// The columns a line is read from.
#[derive(Clone, Copy)]
struct Columns {
    timestamp: usize,
    value: usize,
}

/// Returns how many values were empty or no number.
fn score_lines(input: &mut impl BufRead, out: &mut dyn Write, mut folded: Option<&mut Folded>) -> anyhow::Result<u64> {
    let mut series = Series::new(SeriesParams::default());
    let (mut line, mut number, mut unread) = (String::new(), 0u64, 0u64);
    let mut columns = None;
    writeln!(out, "{HEADER}")?;
    while read_line(input, &mut line).with_context(|| format!("line {}", number + 1))? {
        number += 1;
        if line.is_empty() {
            continue;
        }
        let columns = match columns {
            Some(known) => known,
            None => {
                let (found, header) = find_columns(&line);
                columns = Some(found);
                if header {
                    continue;
                }
                found
            }
        };
        let (time_text, value_text) = split(&line, columns).with_context(|| format!("line {number}"))?;
        let time_us = parse_time(time_text).with_context(|| format!("line {number}"))?;
        let value = parse_value(value_text).with_context(|| format!("line {number}"))?;
        unread += u64::from(!value.is_finite());
        let outlook = series.outlook(time_us);
        let scored = series.observe(time_us, value);
        let (score, alert) = (scored.anomaly_score, u8::from(scored.alert));
        writeln!(out, "{time_text},{value_text},{score:.6},{alert},{}", cells(outlook))?;
        if let Some(folded) = &mut folded {
            folded.add(time_us, value, outlook, scored.alert);
        }
    }
    Ok(unread)
}

/// The cells of expected, low and high, to a hundred-thousandth of the band.
fn cells(outlook: Option<Outlook>) -> String {
    let Some(Outlook { expected, low, high }) = outlook else { return ",,".to_owned() };
    let width = high.unwrap_or(expected) - low.unwrap_or(expected);
    let places = (5.0 - if width > 0.0 { width } else { expected.abs() }.log10().floor()).clamp(0.0, 17.0) as usize;
    let cell = |number: f64| {
        let text = if number.abs() < 1e15 { format!("{number:.places$}") } else { format!("{number:e}") };
        match text.strip_prefix("-").unwrap_or(&text).trim_matches(['0', '.']) {
            "" => "0".to_owned(),
            _ if text.contains('.') && !text.contains('e') => {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => text,
        }
    };
    let or_empty = |bound: Option<f64>| bound.map(cell).unwrap_or_default();
    format!("{},{},{}", cell(expected), or_empty(low), or_empty(high))
}

/// Reads one line without its end; false at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut String) -> anyhow::Result<bool> {
    line.clear();
    let read = input.by_ref().take(LINE_BYTES_MAX).read_line(line).context("cannot read (UTF-8 text expected)")?;
    if read as u64 == LINE_BYTES_MAX && !line.ends_with('\n') {
        bail!("longer than {LINE_BYTES_MAX} bytes; expected timestamp,value");
    }
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    if line.starts_with('\u{feff}') {
        line.remove(0);
    }
    Ok(read > 0)
}

/// Columns by the names in a header; else the first two. A line in which nothing is a number or a time is a header.
fn find_columns(line: &str) -> (Columns, bool) {
    let place = |name: &str| line.split(',').position(|cell| bare(cell).eq_ignore_ascii_case(name));
    if let (Some(timestamp), Some(value)) = (place("timestamp"), place("value")) {
        return (Columns { timestamp, value }, true);
    }
    let is_data = |cell: &str| bare(cell).parse::<f64>().is_ok() || parse_time(cell).is_ok();
    (Columns { timestamp: 0, value: 1 }, !line.split(',').any(is_data))
}

fn split(line: &str, columns: Columns) -> anyhow::Result<(&str, &str)> {
    let cell = |at: usize| line.split(',').nth(at).map(str::trim);
    match (cell(columns.timestamp), cell(columns.value)) {
        (Some(timestamp), Some(value)) => Ok((timestamp, value)),
        _ => bail!("{} columns; expected timestamp,value", line.split(',').count()),
    }
}

fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('"')
}

fn parse_time(text: &str) -> anyhow::Result<i64> {
    let text = bare(text);
    if let Ok(number) = text.parse::<f64>() {
        // Up to 1e11 they are seconds (year 5138), up to 1e14 milliseconds, then microseconds.
        let micros = match number.abs() {
            n if n < 1e11 => number * 1e6,
            n if n < 1e14 => number * 1e3,
            n if n < 9e18 => number,
            _ => bail!("timestamp {text:?} is out of range; {TIMESTAMP_EXPECTED}"),
        };
        return Ok(micros.round() as i64);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    if let Some(time) = FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()) {
        return Ok(time.and_utc().timestamp_micros());
    }
    match NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0)) {
        Some(time) => Ok(time.and_utc().timestamp_micros()),
        None => bail!("timestamp {text:?} is not a time; {TIMESTAMP_EXPECTED}"),
    }
}

/// Empty cells and the usual words for "no value" are no error: series have holes.
fn parse_value(text: &str) -> anyhow::Result<f64> {
    let text = bare(text);
    if text.is_empty() || ["nan", "na", "n/a", "null", "none"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(f64::NAN);
    }
    text.parse().with_context(|| format!("value {text:?} is not a number; expected a decimal number or nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(input: &str) -> (String, anyhow::Result<u64>) {
        let mut out = Vec::new();
        let done = score_lines(&mut input.as_bytes(), &mut out, None);
        (String::from_utf8(out).expect("ASCII in, ASCII out"), done)
    }

    #[test]
    fn copies_the_input_and_adds_its_columns() {
        let (out, done) = scored("timestamp,value\r\n2014-04-01 00:00:00,20.50\r\n2014-04-01T00:05:00Z,\r\n");
        assert_eq!(done.expect("read"), 1);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines,
            [HEADER, "2014-04-01 00:00:00,20.50,0.000000,0,,,", "2014-04-01T00:05:00Z,,0.000000,0,20.5,,"]
        );
    }

    #[test]
    fn finds_columns_by_name_and_reads_headless_files() {
        let (out, done) = scored("label,\"value\",\"timestamp\"\nx,7,1396310400\n");
        assert_eq!((done.expect("read"), out.lines().last()), (0, Some("1396310400,7,0.000000,0,,,")));
        let (out, done) = scored("1396310400000,7\n");
        assert_eq!((done.expect("read"), out.lines().count()), (0, 2));
    }

    #[test]
    fn a_first_line_of_words_alone_is_a_header() {
        for header in ["date,requests", "Time,Count", "\"when\",\"how many\""] {
            let (out, done) = scored(&format!("{header}\n2014-04-01,7\n"));
            assert_eq!((done.expect("read"), out.lines().last()), (0, Some("2014-04-01,7,0.000000,0,,,")), "{header}");
        }
        for data in ["yesterday,5", "2014-13-01,5", "2014-04-01,five"] {
            let (out, done) = scored(&format!("{data}\n2014-04-01,7\n"));
            assert!(done.is_err() && out.lines().count() == 1, "{data}");
        }
    }

    #[test]
    fn a_bad_line_keeps_those_before_and_says_what_was_expected() {
        let (out, done) = scored("timestamp,value\n1,5\nyesterday,5\n");
        assert_eq!(out, format!("{HEADER}\n1,5,0.000000,0,,,\n"));
        let said = format!("{:#}", done.expect_err("bad line"));
        assert!(said.starts_with("line 3: timestamp \"yesterday\" is not a time; expected RFC 3339"), "{said}");
        let (_, done) = scored("timestamp,value\n1,five\n");
        assert_eq!(
            format!("{:#}", done.expect_err("bad value")),
            "line 2: value \"five\" is not a number; expected a decimal number or nothing: invalid float literal"
        );
        let (_, done) = scored("timestamp,value\n1\n");
        assert_eq!(format!("{:#}", done.expect_err("short line")), "line 2: 1 columns; expected timestamp,value");
    }

    #[test]
    fn all_ways_to_write_a_time_agree() {
        let want = 1_396_310_400_000_000;
        for text in [
            "2014-04-01 00:00:00",
            "2014-04-01T00:00:00Z",
            "2014-04-01T02:00:00+02:00",
            "2014-04-01 00:00:00.000",
            "2014-04-01",
            "2014-04-01 00:00",
            "1396310400",
            "1396310400000",
            "1396310400000000",
            "1.3963104e9",
        ] {
            assert_eq!(parse_time(text).expect(text), want, "{text}");
        }
        for text in ["", "NaN", "inf", "1e30", "2014-13-01 00:00:00", "2014-04-01 25:00:00"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn finds_a_spike_in_a_file() {
        let mut text = String::from("timestamp,value\n");
        for i in 0..600 {
            let value = if i == 500 { 90 } else { 10 + (i * 7) % 5 };
            text.push_str(&format!("{},{value}\n", 1_396_310_400 + i * 300));
        }
        let (out, done) = scored(&text);
        done.expect("read");
        let rows: Vec<Vec<&str>> = out.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let alerts: Vec<&Vec<&str>> = rows.iter().filter(|row| row[3] == "1").collect();
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        assert_eq!((alerts[0][0], alerts[0][1]), ("1396460400", "90"));
        let number = |row: &[&str], at: usize| row[at].parse::<f64>().expect("a number");
        let (expected, low, high) = (number(alerts[0], 4), number(alerts[0], 5), number(alerts[0], 6));
        assert!(
            (10.0..14.0).contains(&expected) && (0.0..8.0).contains(&low) && (16.0..30.0).contains(&high),
            "{low} {high}"
        );
        // The first lines have no band; then every value of this quiet series is inside; the spike is outside.
        assert!(rows[..49].iter().all(|row| row[5].is_empty() && row[6].is_empty()));
        let inside = |row: &&Vec<&str>| (number(row, 5)..=number(row, 6)).contains(&number(row, 1));
        assert_eq!(rows[50..500].iter().filter(inside).count(), 450);
    }

    #[test]
    fn cells_have_the_digits_that_the_band_is_worth() {
        let of = |expected, low, high| cells(Some(Outlook { expected, low, high }));
        assert_eq!(of(12.345_678_9, Some(1.000_000_1), Some(20.0)), "12.3457,1,20");
        assert_eq!(of(1e6, Some(1e6 - 1e-3), Some(1e6 + 0.002_345_67)), "1000000,999999.999,1000000.00234567");
        assert_eq!(of(-0.0, None, None), "0,,");
        assert_eq!(of(1200.0, None, Some(1300.0)), "1200,,1300");
        assert_eq!(of(5.0, Some(5.0), Some(5.0)), "5,5,5");
        assert_eq!(of(1e150, None, Some(2.5e20)), "1e150,,2.5e20");
        assert_eq!(of(-3.0, Some(-1e12), Some(4e13)), "-3,-1000000000000,40000000000000");
        assert_eq!(cells(None), ",,");
    }

    #[test]
    fn the_picture_shows_the_lines_that_were_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.svg");
        let plot = Plot::new(&path, None).expect("can be written");
        let (mut out, input) = (Vec::new(), "1,5\n2,\n3,7\nyesterday,9\n");
        let done = run(input.as_bytes(), "a.csv", &mut out, Some(plot));
        assert!(done.is_err() && String::from_utf8_lossy(&out).lines().count() == 4);
        let svg = std::fs::read_to_string(&path).expect("there");
        assert!(svg.contains("3 lines, 0 alerts") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
