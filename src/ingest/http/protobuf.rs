//! OTLP logs from protobuf to their JSON, as the specification writes it: 64-bit numbers as texts, trace and span ids in
//! hexadecimal, bytes in base64. Read in one pass from the wire, without a tree.
//!
//! Promises: fields that are not known are passed over, as protobuf wants it. Values nested too deep, and bytes that are
//! no protobuf, are an error that names the place.
//! Never: reads anything but `ExportLogsServiceRequest`.

use std::borrow::Cow;
use std::rc::Rc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::body::quoted;
use super::otlp::Group;

/// Values in values; deeper ones are refused.
const DEPTH_MAX: usize = 16;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum WireError {
    #[error("this is no protobuf of ExportLogsServiceRequest: a field ends early or has no known type")]
    Malformed,
    #[error("a value is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// The log records of a request by resource and scope.
pub(super) fn groups(body: &[u8]) -> Result<Vec<Group<'static>>, WireError> {
    let mut groups = Vec::new();
    for resource_logs in messages(body, 1)? {
        let resource = messages(resource_logs, 1)?.last().map(|resource| attributes_of(resource, 1)).transpose()?;
        let resource = resource.map(|text| Rc::new(Cow::Owned(text)));
        for scope_logs in messages(resource_logs, 2)? {
            let scope = messages(scope_logs, 1)?.last().map(|message| scope(message)).transpose()?;
            let records = messages(scope_logs, 2)?.into_iter().map(|record| log_record(record).map(Cow::Owned));
            let records: Vec<_> = records.collect::<Result<_, _>>()?;
            if !records.is_empty() {
                groups.push(Group { resource: resource.clone(), scope: scope.map(Cow::Owned), records });
            }
        }
    }
    Ok(groups)
}

/// A resource: only what it is called by.
fn attributes_of(message: &[u8], number: u32) -> Result<String, WireError> {
    Ok(format!("{{\"attributes\":{}}}", key_values(message, number, 0)?))
}

fn scope(message: &[u8]) -> Result<String, WireError> {
    let mut keys = Keys::new();
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(name)) => keys.add("name", &quoted(name)),
            (2, Value::Bytes(version)) => keys.add("version", &quoted(version)),
            _ => {}
        }
    }
    keys.add("attributes", &key_values(message, 3, 0)?);
    Ok(keys.end())
}

fn log_record(message: &[u8]) -> Result<String, WireError> {
    let mut keys = Keys::new();
    for field in Fields(message) {
        match field? {
            (1, Value::Fixed64(time)) => keys.add("timeUnixNano", &format!("\"{time}\"")),
            (2, Value::Varint(severity)) => keys.add("severityNumber", &severity.to_string()),
            (3, Value::Bytes(text)) => keys.add("severityText", &quoted(text)),
            (5, Value::Bytes(body)) => keys.add("body", &any_value(body, 0)?),
            (7, Value::Varint(dropped)) => keys.add("droppedAttributesCount", &dropped.to_string()),
            (8, Value::Fixed32(flags)) => keys.add("flags", &flags.to_string()),
            (9, Value::Bytes(id)) => keys.add("traceId", &hex(id)),
            (10, Value::Bytes(id)) => keys.add("spanId", &hex(id)),
            (11, Value::Fixed64(time)) => keys.add("observedTimeUnixNano", &format!("\"{time}\"")),
            (12, Value::Bytes(name)) => keys.add("eventName", &quoted(name)),
            _ => {}
        }
    }
    keys.add("attributes", &key_values(message, 6, 0)?);
    Ok(keys.end())
}

/// The repeated `KeyValue` of this number.
fn key_values(message: &[u8], number: u32, depth: usize) -> Result<String, WireError> {
    let mut all = Vec::new();
    for pair in messages(message, number)? {
        let mut keys = Keys::new();
        for field in Fields(pair) {
            match field? {
                (1, Value::Bytes(key)) => keys.add("key", &quoted(key)),
                (2, Value::Bytes(value)) => keys.add("value", &any_value(value, depth)?),
                _ => {}
            }
        }
        all.push(keys.end());
    }
    Ok(format!("[{}]", all.join(",")))
}

/// `AnyValue`: of several the last counts.
fn any_value(message: &[u8], depth: usize) -> Result<String, WireError> {
    if depth >= DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    let mut value = "{}".to_owned();
    for field in Fields(message) {
        value = match field? {
            (1, Value::Bytes(text)) => format!("{{\"stringValue\":{}}}", quoted(text)),
            (2, Value::Varint(flag)) => format!("{{\"boolValue\":{}}}", flag != 0),
            (3, Value::Varint(number)) => format!("{{\"intValue\":\"{}\"}}", number.cast_signed()),
            (4, Value::Fixed64(bits)) => format!("{{\"doubleValue\":{}}}", double(f64::from_bits(bits))),
            (5, Value::Bytes(array)) => {
                let values = messages(array, 1)?.into_iter().map(|value| any_value(value, depth + 1));
                let values: Vec<String> = values.collect::<Result<_, _>>()?;
                format!("{{\"arrayValue\":{{\"values\":[{}]}}}}", values.join(","))
            }
            (6, Value::Bytes(list)) => {
                format!("{{\"kvlistValue\":{{\"values\":{}}}}}", key_values(list, 1, depth + 1)?)
            }
            (7, Value::Bytes(bytes)) => format!("{{\"bytesValue\":\"{}\"}}", BASE64_STANDARD.encode(bytes)),
            _ => continue,
        };
    }
    Ok(value)
}

fn double(number: f64) -> String {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.to_string(),
        None if number.is_nan() => "\"NaN\"".to_owned(),
        None if number > 0.0 => "\"Infinity\"".to_owned(),
        None => "\"-Infinity\"".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// An object that is being written.
struct Keys(String);

impl Keys {
    fn new() -> Keys {
        Keys("{".to_owned())
    }

    fn add(&mut self, key: &str, value: &str) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        self.0 += &format!("{comma}\"{key}\":{value}");
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}

/// The messages in the fields of this number.
fn messages(message: &[u8], number: u32) -> Result<Vec<&[u8]>, WireError> {
    let mut found = Vec::new();
    for field in Fields(message) {
        match field? {
            (at, Value::Bytes(bytes)) if at == number => found.push(bytes),
            _ => {}
        }
    }
    Ok(found)
}

/// A field as it is on the wire.
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, each with its number; ends after an error.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(WireError::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
