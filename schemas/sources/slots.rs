//! The values of one record, by slot of the plan: what every shape fills and `plan.rs` reads.
//!
//! Promises: texts are borrowed from the record; only those with escapes are copied, into one buffer that is reused.
//! Never: knows what a slot is for.

/// "No slot": nothing is kept of the value here.
pub(super) const SLOT_NONE: u16 = u16::MAX;

/// A value of a record.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'b> {
    Absent,
    Text(&'b str),
    /// A text with escapes, in the scratch buffer from..to.
    Copied(u32, u32),
    Int(i64),
    Float(f64),
    Bool,
    /// An object, or an array of something else than texts and numbers.
    Nested,
}

pub(crate) struct Slots<'b> {
    values: Vec<Scalar<'b>>,
    /// What slots held before another value of the same key came, in the order of the record.
    doubled: Vec<(u16, Scalar<'b>)>,
    /// Values that stand where the mapping does not look.
    hidden: Vec<(u16, Scalar<'b>)>,
    pub(super) scratch: String,
}

impl<'b> Slots<'b> {
    pub(crate) fn new(count: usize) -> Slots<'b> {
        Slots { values: vec![Scalar::Absent; count], doubled: Vec::new(), hidden: Vec::new(), scratch: String::new() }
    }

    /// Forgets the record before.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.values.fill(Scalar::Absent);
        self.doubled.clear();
        self.hidden.clear();
        self.scratch.clear();
    }

    #[inline]
    pub(super) fn get(&self, slot: u16) -> Scalar<'b> {
        self.values[usize::from(slot)]
    }

    #[inline]
    pub(super) fn put(&mut self, slot: u16, value: Scalar<'b>) {
        if slot != SLOT_NONE {
            self.values[usize::from(slot)] = value;
        }
    }

    /// The value of a key. One more of the same key takes its place, and the one before is remembered where it says something
    /// else; null takes nothing away.
    #[inline]
    pub(super) fn fill(&mut self, slot: u16, value: Scalar<'b>) {
        if slot == SLOT_NONE {
            return;
        }
        match self.values[usize::from(slot)] {
            Scalar::Absent => self.values[usize::from(slot)] = value,
            held => self.fill_again(slot, held, value),
        }
    }

    #[cold]
    fn fill_again(&mut self, slot: u16, held: Scalar<'b>, value: Scalar<'b>) {
        let is_same = match (held, value) {
            (Scalar::Int(one), Scalar::Int(other)) => one == other,
            (Scalar::Float(one), Scalar::Float(other)) => one == other,
            (Scalar::Text(_) | Scalar::Copied(..), Scalar::Text(_) | Scalar::Copied(..)) => {
                self.read(held) == self.read(value)
            }
            (Scalar::Bool, Scalar::Bool) | (Scalar::Nested, Scalar::Nested) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        self.doubled.push((slot, held));
        if !matches!(value, Scalar::Absent) {
            self.put(slot, value);
        }
    }

    /// A value of a key that stands where the mapping does not look: one more beside those that are there, never the first.
    #[cold]
    pub(super) fn hide(&mut self, slot: u16, value: Scalar<'b>) {
        self.hidden.push((slot, value));
    }

    /// Whether there are such values.
    #[inline]
    pub(super) fn has_hidden(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Counts them beside the others, where `is_told` says that the column has any.
    #[cold]
    pub(super) fn uncover(&mut self, is_told: impl Fn(&Slots<'b>, u16) -> bool) {
        for (slot, value) in std::mem::take(&mut self.hidden) {
            match self.get(slot) {
                Scalar::Absent if is_told(self, slot) => self.put(slot, value),
                Scalar::Absent => {}
                held if self.read(held) != self.read(value) => self.doubled.push((slot, value)),
                _ => {}
            }
        }
    }

    /// Did a key come twice, with different values?
    #[inline]
    pub(super) fn has_doubled(&self) -> bool {
        !self.doubled.is_empty()
    }

    /// All values of a key, in the order of the record.
    pub(super) fn values_of(&self, slot: u16) -> impl Iterator<Item = Scalar<'b>> {
        let before = self.doubled.iter().filter(move |(of, _)| *of == slot).map(|(_, value)| *value);
        before.chain(Some(self.get(slot)).filter(|value| !matches!(value, Scalar::Absent)))
    }

    pub(super) fn copied(&self, from: u32, to: u32) -> &str {
        &self.scratch[from as usize..to as usize]
    }

    /// A text that `write` appends to the buffer.
    #[cold]
    pub(super) fn copy(&mut self, write: impl FnOnce(&mut String)) -> Scalar<'b> {
        let from = self.scratch.len() as u32;
        write(&mut self.scratch);
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    /// Two texts as one, with a comma between them. In place: what was joined so far is the end of the buffer, so that many
    /// elements cost what they hold. All of them: of a forwarding list the last ones count.
    pub(super) fn join(&mut self, first: Scalar<'b>, second: Scalar<'b>) -> Scalar<'b> {
        match (first, second) {
            (Scalar::Absent, other) | (other, Scalar::Absent) => return other,
            (Scalar::Text(_) | Scalar::Copied(..), Scalar::Text(_) | Scalar::Copied(..)) => {}
            _ => return Scalar::Nested,
        }
        // A copied second element stands at the end of the buffer already.
        let end = match second {
            Scalar::Copied(from, _) => from as usize,
            _ => self.scratch.len(),
        };
        let from = match first {
            Scalar::Copied(from, _) => {
                self.scratch.insert_str(end, ", ");
                from
            }
            _ => {
                self.scratch.insert_str(end, ", ");
                if let Scalar::Text(text) = first {
                    self.scratch.insert_str(end, text);
                }
                end as u32
            }
        };
        if let Scalar::Text(text) = second {
            self.scratch.push_str(text);
        }
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    /// Undoes percent escapes of the text in `slot`, and pluses for blanks.
    pub(super) fn decode(&mut self, slot: u16, plus: bool) {
        let text = self.read(self.get(slot));
        if !(text.contains('%') || plus && text.contains('+')) {
            return;
        }
        let spaced = if plus { text.replace('+', " ") } else { text.to_string() };
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
        let decoded = self.copy(|out| out.push_str(&decoded));
        self.put(slot, decoded);
    }

    /// Puts the texts of two slots into another one, with a blank between, when both are there.
    pub(super) fn put_joined(&mut self, slot: u16, first: u16, second: u16) {
        let (first, second) = (self.read(self.get(first)), self.read(self.get(second)));
        if first.is_empty() || second.is_empty() {
            return;
        }
        let both = format!("{first} {second}");
        let both = self.copy(|out| out.push_str(&both));
        self.put(slot, both);
    }

    pub(super) fn read<'s>(&'s self, value: Scalar<'b>) -> &'s str {
        match value {
            Scalar::Text(text) => text,
            Scalar::Copied(from, to) => self.copied(from, to),
            _ => "",
        }
    }
}
