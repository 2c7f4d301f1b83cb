//! Every bound of this crate, named once: sizes of records and texts, of caches, of decoding depth.
//!
//! Promises: each bound says what happens when it is reached. The relations between them are checked at compile time.
//! Never: configurable; a value that operators need to change belongs to the configuration, not here.

/// A record longer than this becomes a reject with the code `oversized`; sources cut what they hand over here.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// A scrubbed text column holds at most this many bytes of the original; the rest is cut off and `…` says so.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// How far a text is searched for secrets. Beyond `TEXT_BYTES_MAX`, so that a secret across the cut is seen whole.
pub const SEARCH_BYTES_MAX: usize = 16 << 10;
/// Decodings (URL, base64, escapes) followed into one value. What is still encoded below that is removed unread.
pub const DECODE_DEPTH_MAX: usize = 4;
/// URL decodings of one value taken in one step, for `%252525…`.
pub const URL_DECODE_ROUNDS_MAX: usize = 8;
/// Bytes of all decodings of one text that are searched; what is still unread then is removed.
pub const SEARCH_WORK_MAX: usize = 512 << 10;
/// Bytes that compressed data in a text may inflate to; larger ones are removed unread.
pub const INFLATED_BYTES_MAX: usize = 32 << 10;
/// How far a text is searched for attacks.
pub const PROBE_BYTES_MAX: usize = 8 << 10;
/// Layers of escapes undone in that search.
pub const PROBE_LAYERS_MAX: usize = 3;
/// Bytes of the pattern of a class of the configuration.
pub const PATTERN_BYTES_MAX: usize = 1 << 10;
/// Findings kept per text before the whole text is replaced.
pub const FINDINGS_MAX: usize = 64;
/// Credentials whose token and claims are remembered; when full, all are forgotten and computed again.
pub const CREDENTIALS_MAX: usize = 16 << 10;
/// A longer credential is tokenised each time instead of being remembered.
pub const CREDENTIAL_CACHED_BYTES_MAX: usize = 2 << 10;
/// Object identifiers whose token is remembered; a new one takes the place of an old one.
pub const OBJECTS_MAX: usize = 8 << 10;
/// Longer identifiers are tokenised each time instead of being remembered.
pub const OBJECT_CACHED_BYTES_MAX: usize = 128;
/// User agents, hosts and other repeating texts whose scrubbed form is remembered; when full, all are forgotten.
pub const REPEATED_TEXTS_MAX: usize = 16 << 10;
/// A longer text is scrubbed each time instead of being remembered.
pub const REPEATED_BYTES_MAX: usize = 1 << 10;
/// Distinct values a dictionary column remembers across batches; when full, all are forgotten.
pub const DICTIONARY_MAX: usize = 32 << 10;
/// A JWT part longer than this is not decoded; the credential is tokenised all the same.
pub const JWT_PART_BYTES_MAX: usize = 16 << 10;
/// Segments of a path that make an endpoint template; deeper ones become one `{rest}`.
pub const ENDPOINT_SEGMENTS_MAX: usize = 10;
/// Bytes of an endpoint template; a longer one is cut after a whole segment and ends in `{rest}`.
pub const ENDPOINT_BYTES_MAX: usize = 160;
/// Elements of one record that is an array (a batch of the gateway); more make the record a reject.
pub const RECORD_EVENTS_MAX: usize = 10_000;
/// Hops of a forwarding header that are walked; a longer header is cut on the left, away from us.
pub const FORWARDED_HOPS_MAX: usize = 64;
/// One record in so many is searched for keys the mapping does not know.
pub const DRIFT_SAMPLE: i64 = 64;
/// Unknown keys remembered per source; later ones are only counted together, under `…`.
pub const DRIFT_KEYS_MAX: usize = 256;
/// Bytes of a key that drift reports.
pub const DRIFT_KEY_BYTES_MAX: usize = 128;
/// Paths one mapping may read.
pub const MAPPING_PATHS_MAX: usize = 512;
/// Bytes of short fields (method, ids): a longer value is cut.
pub const ID_BYTES_MAX: usize = 256;

const _: () = assert!(TEXT_BYTES_MAX < SEARCH_BYTES_MAX && SEARCH_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(ENDPOINT_BYTES_MAX < TEXT_BYTES_MAX && ID_BYTES_MAX <= REPEATED_BYTES_MAX);
