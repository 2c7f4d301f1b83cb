//! What the detectors need of a batch, computed once per batch: event times, one bitmap per distinct condition, one
//! column of 128-bit keys per distinct kind of entity, one column per distinct argument of a method.
//!
//! An address that nobody vouches for (`client_ip_source` is `unproven`) is an entity of its own beside the same address
//! where it is proven: whoever can write addresses into a log neither adds to what is held against another, nor hides
//! among what is proven of himself.
//!
//! An IPv6 client is the /64 of its address (`network`), with the keys of the /56 and /48 around it beside (`wider`).
//!
//! What our own block denied (`denied_by_us`) is nobody's: it neither prolongs an attack nor teaches a baseline.
//!
//! Promises: the same values give the same keys in every batch and every run with the same hash key; NULL and empty
//! text are key 0, which no detector counts. No allocation per row.
//! Never: keeps anything of one batch for the next.

use std::net::Ipv6Addr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use schemas::event::EARLIER_TOKENS;
use siphasher::sip128::SipHasher13;

use super::EngineError;
use super::location::{self, Location};
use super::network::{CLIENT_BITS, JOINED_BITS, ipv6, network};
use crate::rule::{EntityColumn, EntityKind};
use crate::where_sql::Predicate;

/// The key of an entity, or of a distinct value. 0 stands for NULL.
pub(crate) type EntityKey = u128;
/// The key when everything is one entity.
pub(crate) const WHOLE: EntityKey = 1;

/// What to compute for a batch: each thing once, however many detectors ask for it.
#[derive(Debug)]
pub(crate) struct Plan {
    hash_key: (u64, u64),
    predicates: Vec<Predicate>,
    kinds: Vec<EntityKind>,
    values: Vec<Vec<&'static str>>,
    amounts: Vec<&'static str>,
    /// Whether somebody asks where clients are.
    locations: bool,
}

fn position_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Plan {
    pub fn new(hash_key: (u64, u64)) -> Plan {
        let (predicates, kinds, values, amounts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Plan { hash_key, predicates, kinds, values, amounts, locations: false }
    }

    /// Whether something depends on a row's being late, which is not known before it has its place.
    pub fn reads_late(&self) -> bool {
        let is_late = |word: &str| word.eq_ignore_ascii_case("late");
        let words = |sql: &str| sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_late);
        let is_value = self.values.iter().flatten().any(|column| is_late(column));
        is_value || self.predicates.iter().any(|predicate| words(predicate.sql()))
    }

    pub fn predicate(&mut self, predicate: &Predicate) -> usize {
        position_of(&mut self.predicates, predicate.clone())
    }

    pub fn kind(&mut self, kind: &EntityKind) -> usize {
        position_of(&mut self.kinds, kind.clone())
    }

    pub fn values(&mut self, columns: &[&'static str]) -> usize {
        position_of(&mut self.values, columns.to_vec())
    }

    pub fn amount(&mut self, column: &'static str) -> usize {
        position_of(&mut self.amounts, column)
    }

    pub fn locations(&mut self) {
        self.locations = true;
    }

    /// Computes everything for a batch of the event schema. Also says how many conditions could not be evaluated.
    pub fn compute(&self, events: &RecordBatch) -> Result<(Columns, usize), EngineError> {
        let mut failed = 0;
        let filters = self.predicates.iter().map(|predicate| {
            let (matching, failures) = predicate.matches(events);
            failed += failures;
            matching
        });
        let filters = filters.collect();
        let hasher = SipHasher13::new_with_keys(self.hash_key.0, self.hash_key.1);
        let mut parts: Parts = Vec::new();
        let mut earlier = earlier_parts(events, &hasher)?;
        let mut wider = None;
        if self.kinds.iter().any(|kind| kind.columns().contains(&EntityColumn::ClientIp)) {
            let clients = Clients::of(events, &hasher)?;
            earlier.iter_mut().for_each(|earlier| earlier.push((CLIENT, Arc::clone(&clients.keys))));
            parts.push((CLIENT, clients.keys));
            wider = clients.wider;
        }
        let (mut keys, mut earlier_keys) = (Vec::with_capacity(self.kinds.len()), Vec::with_capacity(self.kinds.len()));
        for kind in &self.kinds {
            let names: Vec<&'static str> = kind.columns().iter().map(|c| c.name()).collect();
            let now = combine(events, &names, &hasher, &mut parts, true)?;
            earlier_keys.push(match &mut earlier {
                None => None,
                Some(earlier) => differing(&now, &combine(events, &names, &hasher, earlier, true)?),
            });
            keys.push(now);
        }
        if let Some(denied) = denied(events)? {
            keys.iter_mut().for_each(|keys| denied.set_indices().for_each(|row| Arc::make_mut(keys)[row] = 0));
        }
        let (mut values, mut earlier_values) = (Vec::with_capacity(self.values.len()), Vec::new());
        for columns in &self.values {
            let now = combine(events, columns, &hasher, &mut parts, false)?;
            earlier_values.push(match &mut earlier {
                None => None,
                Some(earlier) => differing(&now, &combine(events, columns, &hasher, earlier, false)?),
            });
            values.push(now.iter().map(|hash| *hash as u64).collect());
        }
        let amounts: Result<Vec<Vec<i64>>, EngineError> =
            self.amounts.iter().map(|column| amounts(column_of(events, column)?, column)).collect();
        let locations = if self.locations { location::of(events)? } else { Vec::new() };
        let (times, offsets) = (time_column(events, "time")?, offset_column(events)?);
        let places = times.to_vec();
        Ok((
            Columns {
                times,
                places,
                offsets,
                filters,
                keys,
                wider,
                earlier_keys,
                values,
                earlier_values,
                amounts: amounts?,
                locations,
            },
            failed,
        ))
    }
}

/// The computed columns; all of one length.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub times: ScalarBuffer<i64>,
    /// Where each row stands in the order of all: its time, unless it is late or ahead.
    pub places: Vec<i64>,
    pub offsets: ScalarBuffer<i64>,
    pub filters: Vec<BooleanBuffer>,
    pub keys: Vec<Arc<Vec<EntityKey>>>,
    /// In batches with IPv6 clients: the keys of the networks that the client of each row can be joined into, or 0.
    pub wider: Option<Arc<Vec<Wider>>>,
    /// Per kind, in batches where keys of tokens overlap: the key the entity had before, 0 where it is the same.
    pub earlier_keys: Vec<Option<Arc<Vec<EntityKey>>>>,
    pub values: Vec<Vec<u64>>,
    /// The same for values.
    pub earlier_values: Vec<Option<Arc<Vec<EntityKey>>>>,
    /// -1 stands for NULL.
    pub amounts: Vec<Vec<i64>>,
    /// Where each client is; empty where nobody asks.
    pub locations: Vec<Location>,
}

impl Columns {
    /// The rows `order` names, as (source, row), in that order.
    pub fn gather(sources: &[&Columns], order: &[(u32, u32)]) -> Columns {
        fn pick<T: Copy>(sources: &[&Columns], order: &[(u32, u32)], of: impl Fn(&Columns) -> &[T]) -> Vec<T> {
            let slices: Vec<&[T]> = sources.iter().map(|s| of(s)).collect();
            order.iter().map(|(source, row)| slices[*source as usize][*row as usize]).collect()
        }
        let Some(first) = sources.first() else { return Columns::empty() };
        let filters = (0..first.filters.len()).map(|i| {
            BooleanBuffer::collect_bool(order.len(), |at| {
                let (source, row) = order[at];
                sources[source as usize].filters[i].value(row as usize)
            })
        });
        Columns {
            times: pick(sources, order, |c| &c.times).into(),
            places: pick(sources, order, |c| &c.places),
            offsets: pick(sources, order, |c| &c.offsets).into(),
            filters: filters.collect(),
            keys: (0..first.keys.len()).map(|i| Arc::new(pick(sources, order, |c| &c.keys[i]))).collect(),
            wider: sources.iter().any(|source| source.wider.is_some()).then(|| {
                let of = |(source, row): &(u32, u32)| {
                    sources[*source as usize].wider.as_ref().map_or([0; 2], |wider| wider[*row as usize])
                };
                Arc::new(order.iter().map(of).collect())
            }),
            earlier_keys: (0..first.keys.len())
                .map(|i| gather_earlier(sources, order, |c| &c.earlier_keys[i]))
                .collect(),
            earlier_values: (0..first.values.len())
                .map(|i| gather_earlier(sources, order, |c| &c.earlier_values[i]))
                .collect(),
            values: (0..first.values.len()).map(|i| pick(sources, order, |c| &c.values[i])).collect(),
            amounts: (0..first.amounts.len()).map(|i| pick(sources, order, |c| &c.amounts[i])).collect(),
            locations: match sources.iter().all(|source| source.locations.is_empty()) {
                true => Vec::new(),
                false => pick(sources, order, |c| &c.locations),
            },
        }
    }

    fn empty() -> Columns {
        let none = || ScalarBuffer::from(Vec::new());
        let (times, places, offsets) = (none(), Vec::new(), none());
        let (earlier_keys, earlier_values) = (vec![], vec![]);
        let (filters, keys, values, amounts) = (vec![], vec![], vec![], vec![]);
        let (wider, locations) = (None, vec![]);
        Columns {
            times,
            places,
            offsets,
            filters,
            keys,
            wider,
            earlier_keys,
            values,
            earlier_values,
            amounts,
            locations,
        }
    }

    /// The value of a row in 32 bits, and what it was under the token key before, while the two overlap; else 0.
    #[inline]
    pub fn value(&self, argument: usize, row: usize) -> Option<(u32, u32)> {
        let short = |hash: u64| (hash ^ (hash >> 32)) as u32;
        let hash = self.values[argument][row];
        let earlier = self.earlier_values[argument].as_ref().map_or(0, |earlier| short(earlier[row] as u64));
        (hash != 0).then_some((short(hash), earlier))
    }

    /// The same rows, standing elsewhere.
    pub fn standing_at(self, places: Vec<i64>) -> Columns {
        Columns { places, ..self }
    }
}

pub(crate) fn column_of<'a>(events: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, EngineError> {
    events.column_by_name(name).ok_or(EngineError::Schema { column: name })
}

pub(crate) fn time_column(events: &RecordBatch, name: &'static str) -> Result<ScalarBuffer<i64>, EngineError> {
    let times = column_of(events, name)?.as_primitive_opt::<TimestampMicrosecondType>();
    Ok(times.ok_or(EngineError::Schema { column: name })?.values().clone())
}

pub(crate) fn offset_column(events: &RecordBatch) -> Result<ScalarBuffer<i64>, EngineError> {
    let offsets = column_of(events, "offset")?.as_primitive_opt::<Int64Type>();
    Ok(offsets.ok_or(EngineError::Schema { column: "offset" })?.values().clone())
}

/// The rows that our own block denied; none where there is none.
fn denied(events: &RecordBatch) -> Result<Option<BooleanBuffer>, EngineError> {
    let column = "denied_by_us";
    let flags = column_of(events, column)?.as_boolean_opt().ok_or(EngineError::Schema { column })?;
    let known = || flags.nulls().map_or(flags.values().clone(), |known| flags.values() & known.inner());
    Ok((flags.true_count() > 0).then(known))
}

/// What `client_ip_source` says of an address that nobody vouches for.
pub(crate) const UNPROVEN: &str = "unproven";

/// Of the parts: the column `client_ip` as an entity, networks of IPv6, proven and unproven apart.
const CLIENT: &str = "client_ip as an entity";

/// Keys of the networks around a client, in the order of `JOINED_BITS`.
pub(crate) type Wider = [EntityKey; 2];

/// The clients of a batch.
struct Clients {
    keys: Arc<Vec<EntityKey>>,
    wider: Option<Arc<Vec<Wider>>>,
}

impl Clients {
    fn of(events: &RecordBatch, hasher: &SipHasher13) -> Result<Clients, EngineError> {
        let addresses = column_of(events, "client_ip")?;
        let mut keys = hash_column(addresses, "client_ip", hasher)?;
        let mut wider: Option<Vec<Wider>> = None;
        if let Some(texts) = addresses.as_string_opt::<i32>().filter(|texts| texts.value_data().contains(&b':')) {
            for (row, text) in texts.iter().enumerate() {
                let Some(address) = text.and_then(ipv6) else { continue };
                keys[row] = network_key(address, CLIENT_BITS, hasher);
                let wider = wider.get_or_insert_with(|| vec![[0; 2]; texts.len()]);
                wider[row] = JOINED_BITS.map(|bits| network_key(address, bits, hasher));
            }
        }
        if let Some(unproven) = unproven(column_of(events, "client_ip_source")?) {
            for row in unproven.set_indices() {
                keys[row] = unproven_key(keys[row], hasher);
                wider.iter_mut().for_each(|wider| wider[row] = wider[row].map(|key| unproven_key(key, hasher)));
            }
        }
        Ok(Clients { keys: Arc::new(keys), wider: wider.map(Arc::new) })
    }
}

/// One hash per row of one or several columns. With `all`, one NULL makes the whole NULL; without, only all NULL does.
fn combine(
    events: &RecordBatch,
    names: &[&'static str],
    hasher: &SipHasher13,
    parts: &mut Parts,
    all: bool,
) -> Result<Arc<Vec<EntityKey>>, EngineError> {
    let of = |name: &&'static str| if all && *name == "client_ip" { CLIENT } else { *name };
    for name in names.iter().map(of) {
        if !parts.iter().any(|(known, _)| *known == name) {
            parts.push((name, Arc::new(hash_column(column_of(events, name)?, name, hasher)?)));
        }
    }
    let part = |name: &str| parts.iter().find(|(known, _)| *known == name).map(|(_, hashes)| hashes);
    let columns: Vec<&Arc<Vec<EntityKey>>> = names.iter().filter_map(|name| part(of(name))).collect();
    if columns.is_empty() {
        return Ok(Arc::new(vec![WHOLE; events.num_rows()]));
    }
    if let [only] = columns.as_slice() {
        return Ok(Arc::clone(only));
    }
    let mut bytes = Vec::with_capacity(16 * columns.len());
    let hashes = (0..events.num_rows()).map(|row| {
        let nulls = columns.iter().filter(|c| c[row] == 0).count();
        if nulls == columns.len() || all && nulls > 0 {
            return 0;
        }
        bytes.clear();
        columns.iter().for_each(|c| bytes.extend_from_slice(&c[row].to_le_bytes()));
        key_of(hasher, &bytes)
    });
    Ok(Arc::new(hashes.collect()))
}

/// The key of the network of so many bits around an address.
fn network_key(address: Ipv6Addr, bits: u8, hasher: &SipHasher13) -> EntityKey {
    let mut bytes = [bits; 17];
    bytes[..16].copy_from_slice(&network(address, bits).octets());
    key_of(hasher, &bytes)
}

/// The key of an address that nobody vouches for.
fn unproven_key(key: EntityKey, hasher: &SipHasher13) -> EntityKey {
    if key == 0 {
        return 0;
    }
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&key.to_le_bytes());
    bytes[16..].copy_from_slice(UNPROVEN.as_bytes());
    key_of(hasher, &bytes)
}

/// Which rows have an unproven address; `None` when none has.
fn unproven(sources: &ArrayRef) -> Option<BooleanBuffer> {
    let rows = match sources.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => {
            let texts = dictionary.values().as_string_opt::<i32>()?;
            let codes: Vec<bool> = texts.iter().map(|text| text == Some(UNPROVEN)).collect();
            if !codes.contains(&true) {
                return None;
            }
            let keys = dictionary.keys();
            BooleanBuffer::collect_bool(keys.len(), |row| keys.is_valid(row) && codes[keys.value(row) as usize])
        }
        None => {
            let texts = sources.as_string_opt::<i32>()?;
            BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && texts.value(row) == UNPROVEN)
        }
    };
    (rows.count_set_bits() > 0).then_some(rows)
}

/// Hashes of the columns as they were under the token key before; `None` when no row says so.
fn earlier_parts(events: &RecordBatch, hasher: &SipHasher13) -> Result<Option<Parts>, EngineError> {
    let lists = column_of(events, EARLIER_TOKENS)?;
    if lists.null_count() == lists.len() {
        return Ok(None);
    }
    let lists = lists.as_list_opt::<i32>().ok_or(EngineError::Schema { column: EARLIER_TOKENS })?;
    let mut parts: Parts = Vec::new();
    for column in ["credential", "principal", "object_id"] {
        let mut hashes = hash_column(column_of(events, column)?, column, hasher)?;
        for (hash, list) in hashes.iter_mut().zip(lists.iter()) {
            let Some(list) = list else { continue };
            let texts = list.as_string_opt::<i32>().ok_or(EngineError::Schema { column: EARLIER_TOKENS })?;
            let mut tokens = texts.iter().flatten().filter_map(|text| text.strip_prefix(column)?.strip_prefix('='));
            if let Some(token) = tokens.next() {
                *hash = hash_text(hasher, token);
            }
        }
        parts.push((column, Arc::new(hashes)));
    }
    Ok(Some(parts))
}

/// The earlier keys where they differ from those of now, 0 elsewhere; `None` when none does.
fn differing(now: &[EntityKey], earlier: &[EntityKey]) -> Option<Arc<Vec<EntityKey>>> {
    let differing = || now.iter().zip(earlier).map(|(now, earlier)| if now == earlier { 0 } else { *earlier });
    (now != earlier).then(|| Arc::new(differing().collect()))
}

fn gather_earlier(
    sources: &[&Columns],
    order: &[(u32, u32)],
    of: impl Fn(&Columns) -> &Option<Arc<Vec<EntityKey>>>,
) -> Option<Arc<Vec<EntityKey>>> {
    sources.iter().any(|source| of(source).is_some()).then(|| {
        let key =
            |(source, row): &(u32, u32)| of(sources[*source as usize]).as_ref().map_or(0, |keys| keys[*row as usize]);
        Arc::new(order.iter().map(key).collect())
    })
}

/// Hashes of single columns, shared by all that are made of them.
type Parts = Vec<(&'static str, Arc<Vec<EntityKey>>)>;

fn key_of(hasher: &SipHasher13, bytes: &[u8]) -> EntityKey {
    hasher.hash(bytes).as_u128().max(2)
}

fn hash_column(array: &ArrayRef, name: &'static str, hasher: &SipHasher13) -> Result<Vec<EntityKey>, EngineError> {
    let wrong = EngineError::Schema { column: name };
    match array.data_type() {
        DataType::Utf8 => Ok(hash_texts(array.as_string::<i32>(), hasher)),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or(wrong)?;
            hash_dictionary(dictionary, hasher).ok_or(EngineError::Schema { column: name })
        }
        DataType::Int32 => {
            let numbers = array.as_primitive::<Int32Type>();
            Ok(numbers.iter().map(|n| n.map_or(0, |n| key_of(hasher, &n.to_le_bytes()))).collect())
        }
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>();
            Ok(numbers.iter().map(|n| n.map_or(0, |n| key_of(hasher, &n.to_le_bytes()))).collect())
        }
        DataType::Boolean => {
            let flags: &BooleanArray = array.as_boolean();
            Ok(flags.iter().map(|b| b.map_or(0, |b| key_of(hasher, &[u8::from(b)]))).collect())
        }
        _ => Err(wrong),
    }
}

fn hash_text(hasher: &SipHasher13, text: &str) -> EntityKey {
    if text.is_empty() { 0 } else { key_of(hasher, text.as_bytes()) }
}

fn hash_texts(texts: &StringArray, hasher: &SipHasher13) -> Vec<EntityKey> {
    if texts.null_count() == 0 {
        return (0..texts.len()).map(|row| hash_text(hasher, texts.value(row))).collect();
    }
    texts.iter().map(|text| text.map_or(0, |text| hash_text(hasher, text))).collect()
}

/// Hashes each value of the dictionary at most once, and only those that rows use: a dictionary can be larger than
/// the batch.
fn hash_dictionary(dictionary: &DictionaryArray<Int32Type>, hasher: &SipHasher13) -> Option<Vec<EntityKey>> {
    let texts = dictionary.values().as_string_opt::<i32>()?;
    let mut known: Vec<Option<EntityKey>> = vec![None; texts.len()];
    let codes: &PrimitiveArray<Int32Type> = dictionary.keys();
    let hashes = (0..codes.len()).map(|row| {
        if codes.is_null(row) {
            return 0;
        }
        let code = codes.value(row) as usize;
        *known[code].get_or_insert_with(|| if texts.is_null(code) { 0 } else { hash_text(hasher, texts.value(code)) })
    });
    Some(hashes.collect())
}

fn amounts(array: &ArrayRef, name: &'static str) -> Result<Vec<i64>, EngineError> {
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return Ok(numbers.iter().map(|n| n.map_or(-1, |n| n.max(0))).collect());
    }
    let numbers = array.as_primitive_opt::<Int32Type>().ok_or(EngineError::Schema { column: name })?;
    Ok(numbers.iter().map(|n| n.map_or(-1, |n| i64::from(n.max(0)))).collect())
}
