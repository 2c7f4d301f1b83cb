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
/// Aliases or operations of one query of GraphQL from which on it is a flood of them; a page of an application has a few.
pub const PROBE_ALIASES_MAX: usize = 20;
/// Fields nested in each other from which on a query of GraphQL is made to be costly; introspection itself has thirteen.
pub const PROBE_NESTED_MAX: usize = 16;
/// Bytes of the pattern of a class of the configuration.
pub const PATTERN_BYTES_MAX: usize = 1 << 10;
/// Findings kept per text before the whole text is replaced.
pub const FINDINGS_MAX: usize = 64;
/// Credentials whose token and claims are remembered; when full, half of them, which came longest ago, are forgotten.
pub const CREDENTIALS_MAX: usize = 32 << 10;
/// A longer credential is tokenised each time instead of being remembered.
pub const CREDENTIAL_CACHED_BYTES_MAX: usize = 2 << 10;
/// Object identifiers whose token is remembered; a new one takes the place of an old one.
pub const OBJECTS_MAX: usize = 8 << 10;
/// Longer identifiers are tokenised each time instead of being remembered.
pub const OBJECT_CACHED_BYTES_MAX: usize = 128;
/// User agents, hosts and other repeating texts whose scrubbed form is remembered; when full, half of them are forgotten.
pub const REPEATED_TEXTS_MAX: usize = 32 << 10;
/// A longer text is scrubbed each time instead of being remembered.
pub const REPEATED_BYTES_MAX: usize = 1 << 10;
/// Paths, queries and referrers, of each so many, whose scrubbed form is remembered; a new one takes the place of an old one.
pub const SCRUBBED_TEXTS_MAX: usize = 2 << 10;
/// A longer one is scrubbed each time instead of being remembered.
pub const SCRUBBED_BYTES_MAX: usize = 256;
/// Distinct values a dictionary column remembers across batches; when full, all are forgotten.
pub const DICTIONARY_MAX: usize = 32 << 10;
/// A JWT part longer than this is not decoded; the credential is tokenised all the same.
pub const JWT_PART_BYTES_MAX: usize = 16 << 10;
/// Segments of a path that make an endpoint template; deeper ones become one `{rest}`.
pub const ENDPOINT_SEGMENTS_MAX: usize = 10;
/// Bytes of an endpoint template; a longer one is cut after a whole segment and ends in `{rest}`.
pub const ENDPOINT_BYTES_MAX: usize = 160;
/// Segments of a configured template or of a gateway's route; a deeper one is refused, or not used.
pub const TEMPLATE_SEGMENTS_MAX: usize = 32;
/// Bytes of a configured template or of a gateway's route; a longer one is refused, or not used.
pub const TEMPLATE_BYTES_MAX: usize = 512;
/// Configured templates of one source, each counted once per server; more are refused.
pub const TEMPLATES_MAX: usize = 50_000;
/// URLs that one server of an OpenAPI document may stand for; more are refused.
pub const SERVER_URLS_MAX: usize = 64;
/// Places of the configured templates that are looked at for one request; then it counts as matching none.
pub const TEMPLATE_VISITS_MAX: usize = 512;
/// Routes of gateways that are remembered taken apart; when full, all are forgotten.
pub const ROUTES_MAX: usize = 4 << 10;
/// Segments of templates that one lane remembers in order to learn which vary; when full it learns nothing new.
pub const LEARNED_NODES_MAX: usize = 4 << 10;
/// Bytes of them; when full the lane learns nothing new.
pub const LEARNED_BYTES_MAX: usize = 128 << 10;
/// Templates of a lane that are found without looking segment by segment; when full, all are forgotten.
pub const LEARNED_KNOWN_MAX: usize = 8 << 10;
/// More different words than this at one place of the paths are identifiers.
pub const LEARNED_WORDS_MAX: usize = 24;
/// The same where the names of resources or methods are to be expected.
pub const LEARNED_NAMES_MAX: usize = 256;
/// A word seen so often is known, and stays one when its place turns out to vary.
pub const LEARNED_OFTEN: u8 = 8;
/// Bytes of a lane's saved state; a longer one is refused.
pub const LANE_STATE_BYTES_MAX: usize = 4 << 20;
/// Elements of one record that is an array (a batch of the gateway); more make the record a reject.
pub const RECORD_EVENTS_MAX: usize = 10_000;
/// Hops of a forwarding header that are walked; a longer header is cut on the left, away from us.
pub const FORWARDED_HOPS_MAX: usize = 64;
/// Addresses whose place and network are remembered; a new one takes the place of an old one.
pub const LOCATED_MAX: usize = 8 << 10;
/// One record in so many is searched for keys the mapping does not know, and for those it misses; of the first offsets
/// one in fewer.
pub const DRIFT_SAMPLE: i64 = 64;
pub const DRIFT_OFTEN: i64 = 16;
pub const DRIFT_OFTEN_UNTIL: i64 = 4096;
/// Sampled records in a row without a field, or with another kind of value in it, that are no chance.
pub const DRIFT_AFTER: u64 = 12;
/// Unknown keys remembered per source; later ones are only counted together, under `…`.
pub const DRIFT_KEYS_MAX: usize = 256;
/// Bytes of a key that drift reports.
pub const DRIFT_KEY_BYTES_MAX: usize = 128;
/// Paths one mapping may read.
pub const MAPPING_PATHS_MAX: usize = 512;
/// A text line is fitted to forms up to here; of a longer one the middle is left out.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a line that a container runtime split and that is put together; of a longer one the parts are not read.
pub const SPLIT_BYTES_MAX: usize = 256 << 10;
/// Lines of one lane that are being put together; the parts of further ones are not read.
pub const SPLIT_TEXTS_MAX: usize = 8;
/// Streams of a lane that are within a line; of more the oldest is forgotten, and the next record proves nobody.
pub const SPLIT_STREAMS_MAX: usize = 256;
/// Fields at one end of a text line for which nothing may be written, at once.
pub const ENDS_MAX: usize = 3;
/// Records that may be the rest of a line where nothing tells of which container they are; after so many none is.
pub const SPLIT_PATIENCE: u16 = 1000;
/// Records of a log that are read to recognise its kind.
pub const RECOGNISED_RECORDS: usize = 200;
/// Times of one request under several names that lie further apart are not those of one request, in microseconds.
pub const TIMES_APART_US: u64 = 3_600_000_000;
/// Forms of text lines of one mapping.
pub const LINE_FORMS_MAX: usize = 192;
/// Fields and literals of one line form.
pub const FORM_PARTS_MAX: usize = 256;
/// Envelopes taken off one record, one in the other; what is deeper is a reject.
pub const ENVELOPES_MAX: usize = 4;
/// Bytes of short fields (method, ids): a longer value is cut.
pub const ID_BYTES_MAX: usize = 256;

const _: () = assert!(TEXT_BYTES_MAX < SEARCH_BYTES_MAX && SEARCH_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(LINE_BYTES_MAX < SPLIT_BYTES_MAX && SPLIT_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(ENDPOINT_BYTES_MAX < TEXT_BYTES_MAX && ID_BYTES_MAX <= REPEATED_BYTES_MAX);
const _: () = assert!(TEMPLATE_BYTES_MAX < TEXT_BYTES_MAX && LEARNED_NAMES_MAX < LEARNED_NODES_MAX);
