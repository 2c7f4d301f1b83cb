//! How much work one rule, one file and one stream of events may ask for: every bound of this module, in one place.
//!
//! Promises: what is over a bound is refused with the bound in the message, or forgotten and counted.
//! Never: a setting; these guard against files and patterns that nobody would write on purpose.

/// Bytes of one file. The largest rule of the public collection is below 200 KiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Documents in one file.
pub const DOCUMENTS_MAX: usize = 1_000;
/// Documents in one file that uses `action: global`, `reset` or `repeat`: each is read with all before it.
pub const ACTION_DOCUMENTS_MAX: usize = 50;
/// Nested levels of YAML.
pub const DEPTH_MAX: usize = 32;
/// Parentheses within parentheses of a condition, and `not` after `not`: the parser recurses over both.
pub const CONDITION_DEPTH_MAX: usize = 32;
/// Bytes of a condition.
pub const CONDITION_BYTES_MAX: usize = 16_384;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 1_000;
/// Brackets in a key, over which the parser recurses.
pub const KEY_BRACKETS_MAX: usize = 8;
/// Bytes of a compiled regular expression, and of the cache that a search may build.
pub const REGEX_BYTES_MAX: usize = 1 << 20;
/// Characters of one text to match.
pub const PATTERN_CHARS_MAX: usize = 8_192;
/// Texts that the modifiers may make of one value: three dashes of `windash` before an encoding.
pub const ALTERNATIVES_MAX: usize = 125;
/// Literals in the clause that a rule needs; a rule with more is judged on every event.
pub const CLAUSE_MAX: usize = 10_000;
/// Rules of one correlation.
pub const STEPS_MAX: usize = 64;
/// Events that one correlation remembers, over all its groups. When full, the oldest is forgotten and counted.
pub const REMEMBERED_MAX: usize = 500_000;
/// Microseconds of the longest time span: one year, which is also Sigma's largest unit.
pub const SPAN_US_MAX: u64 = 366 * 86_400 * 1_000_000;
