//! `gatewatch baseline [FILE]`: any series `timestamp,value` scored by the baseline method, one line out per line in.
//!
//! Promises: online, so line n of the output depends on lines 1 to n of the input only; timestamp and value are copied
//! as they were written; a line that cannot be read stops the run with its number and what was expected, after all
//! lines before it have been written. A value that is empty or no number is scored 0 and taught to nobody.
//! Never: holds more than one line; sorts.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use detectors::baseline::series::{Series, SeriesParams};

use super::{Failure, output, usage};
use crate::ingest::{file, unpack};

const LINE_BYTES_MAX: u64 = 64 * 1024;
const TIMESTAMP_EXPECTED: &str =
    "expected RFC 3339, YYYY-MM-DD HH:MM:SS (taken as UTC), or seconds or milliseconds since 1970";
const FORMATS: [&str; 4] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];

/// Score any series of numbers, online; a sibling of the `baseline` method of detectors.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch baseline cpu.csv > scored.csv
  zcat requests.csv.gz | gatewatch baseline

The file has lines `timestamp,value`, with or without a header; a header that names the columns timestamp and value says
where they are. The output adds anomaly_score (0 to 1) and alert (0 or 1).
Each line is judged by the lines before it alone.")]
pub struct Args {
    /// A CSV file, plain, gzip or zstd; without one, or with -, standard input.
    file: Option<PathBuf>,
}

pub fn command(args: &Args) -> Result<(), Failure> {
    let file = args.file.as_deref().filter(|path| path.as_os_str() != "-");
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let input = open(file).map_err(usage)?;
    Ok(run(input, &name, &mut io::stdout().lock())?)
}

fn open(file: Option<&Path>) -> anyhow::Result<Box<dyn Read + Send>> {
    match file {
        Some(path) => Ok(file::unpacked(path)?),
        None => unpack::unpack(io::stdin()).context("standard input"),
    }
}

/// Scores a series and writes `timestamp,value,anomaly_score,alert` to `out`.
fn run(input: impl Read, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    let done = score_lines(&mut BufReader::new(input), &mut out);
    out.flush().context("cannot write the scores")?;
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
fn score_lines(input: &mut impl BufRead, out: &mut dyn Write) -> anyhow::Result<u64> {
    let mut series = Series::new(SeriesParams::default());
    let (mut line, mut number, mut unread) = (String::new(), 0u64, 0u64);
    let mut columns = None;
    writeln!(out, "timestamp,value,anomaly_score,alert")?;
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
        let scored = series.observe(time_us, value);
        writeln!(out, "{time_text},{value_text},{:.6},{}", scored.anomaly_score, u8::from(scored.alert))?;
    }
    Ok(unread)
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
        let done = score_lines(&mut input.as_bytes(), &mut out);
        (String::from_utf8(out).expect("ASCII in, ASCII out"), done)
    }

    #[test]
    fn copies_the_input_and_adds_two_columns() {
        let (out, done) = scored("timestamp,value\r\n2014-04-01 00:00:00,20.50\r\n2014-04-01T00:05:00Z,\r\n");
        assert_eq!(done.expect("read"), 1);
        assert_eq!(
            out,
            "timestamp,value,anomaly_score,alert\n2014-04-01 00:00:00,20.50,0.000000,0\n2014-04-01T00:05:00Z,,0.000000,0\n"
        );
    }

    #[test]
    fn finds_columns_by_name_and_reads_headless_files() {
        let (out, done) = scored("label,\"value\",\"timestamp\"\nx,7,1396310400\n");
        assert_eq!((done.expect("read"), out.lines().last()), (0, Some("1396310400,7,0.000000,0")));
        let (out, done) = scored("1396310400000,7\n");
        assert_eq!((done.expect("read"), out.lines().count()), (0, 2));
    }

    #[test]
    fn a_first_line_of_words_alone_is_a_header() {
        for header in ["date,requests", "Time,Count", "\"when\",\"how many\""] {
            let (out, done) = scored(&format!("{header}\n2014-04-01,7\n"));
            assert_eq!((done.expect("read"), out.lines().last()), (0, Some("2014-04-01,7,0.000000,0")), "{header}");
        }
        for data in ["yesterday,5", "2014-13-01,5", "2014-04-01,five"] {
            let (out, done) = scored(&format!("{data}\n2014-04-01,7\n"));
            assert!(done.is_err() && out.lines().count() == 1, "{data}");
        }
    }

    #[test]
    fn a_bad_line_keeps_those_before_and_says_what_was_expected() {
        let (out, done) = scored("timestamp,value\n1,5\nyesterday,5\n");
        assert_eq!(out, "timestamp,value,anomaly_score,alert\n1,5,0.000000,0\n");
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
        let alerts: Vec<&str> = out.lines().filter(|line| line.ends_with(",1")).collect();
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        assert!(alerts[0].starts_with("1396460400,90,0."), "{alerts:?}");
    }
}
