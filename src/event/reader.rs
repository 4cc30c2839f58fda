//! What a reading in progress carries along: how much memory it may still use, where it stands, what drifted.

use std::fmt;

/// Bytes of memory that the types of one record may take, texts not counted. A real record takes some ten kilobytes; a
/// record of 16 MiB made of nothing but empty objects would take gigabytes, and so is not typed at all.
const MAX_TYPED_BYTES: usize = 32 << 20;

/// Drift that is told of one record; a record of a wholly new shape would otherwise tell of each of its fields.
const MAX_DRIFT: usize = 64;

/// Characters of an unknown key that stand in a path: keys are names, but not ours.
const MAX_KEY: usize = 64;

/// One way in which a record differs from the documented schema. It names the place, never the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drift {
    /// The field, from the top of the record: `Data.Entities.MailCount`.
    pub path: String,
    /// In which way it differs.
    pub kind: DriftKind,
}

/// In which way a field differs from the documented schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// No schema or sample names this field.
    UnknownField,
    /// The value's shape does not fit the field.
    OddShape,
    /// The number or name is not in the field's list.
    UnknownValue,
    /// A time, hash or JSON text that can't be read as one.
    Unreadable,
}

impl DriftKind {
    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            DriftKind::UnknownField => "unknown_field",
            DriftKind::OddShape => "odd_shape",
            DriftKind::UnknownValue => "unknown_value",
            DriftKind::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reading in progress.
#[derive(Debug)]
pub struct Reader {
    left: usize,
    exhausted: bool,
    path: Vec<&'static str>,
    drift: Vec<Drift>,
    pub(crate) entities: u32,
}

impl Reader {
    /// A reading of one record.
    pub(crate) fn new() -> Reader {
        Reader::with_memory(MAX_TYPED_BYTES)
    }

    /// A reading that may use `bytes`.
    pub(crate) fn with_memory(bytes: usize) -> Reader {
        Reader { left: bytes, exhausted: false, path: Vec::new(), drift: Vec::new(), entities: 0 }
    }

    /// Takes `bytes` off what is left; false once nothing is.
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.exhausted => self.left = left,
            _ => self.exhausted = true,
        }
        !self.exhausted
    }

    /// True once the memory was spent: the record must not be taken for whole.
    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }

    /// Does `work` inside the field `key`.
    pub(crate) fn within<R>(&mut self, key: &'static str, work: impl FnOnce(&mut Reader) -> R) -> R {
        self.path.push(key);
        let done = work(self);
        self.path.pop();
        done
    }

    /// Notes that the field where the reading stands drifted.
    pub(crate) fn drifted(&mut self, kind: DriftKind) {
        self.note(None, kind);
    }

    /// Notes that the object where the reading stands has the field `key`, which nobody knows.
    pub(crate) fn unknown_field(&mut self, key: &str) {
        self.note(Some(key), DriftKind::UnknownField);
    }

    fn note(&mut self, key: Option<&str>, kind: DriftKind) {
        if self.drift.len() >= MAX_DRIFT {
            return;
        }
        let mut path = self.path.join(".");
        if let Some(key) = key {
            if !path.is_empty() {
                path.push('.');
            }
            path.extend(key.chars().take(MAX_KEY));
        }
        let drift = Drift { path, kind };
        if !self.drift.contains(&drift) {
            self.drift.push(drift);
        }
    }

    /// All that drifted, each place once.
    pub(crate) fn into_drift(self) -> Vec<Drift> {
        self.drift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_spent_stays_spent() {
        let mut reader = Reader::new();
        assert!(reader.charge(MAX_TYPED_BYTES));
        assert!(!reader.charge(1));
        assert!(!reader.charge(0));
        assert!(reader.exhausted());
    }

    #[test]
    fn drift_is_told_once_a_place_and_with_an_end() {
        let mut reader = Reader::new();
        reader.within("Data", |reader| {
            reader.drifted(DriftKind::Unreadable);
            reader.drifted(DriftKind::Unreadable);
            reader.unknown_field(&"x".repeat(500));
        });
        for n in 0..1000 {
            reader.unknown_field(&n.to_string());
        }
        let drift = reader.into_drift();
        assert_eq!(drift[0], Drift { path: "Data".to_owned(), kind: DriftKind::Unreadable });
        assert_eq!(drift[1].path, format!("Data.{}", "x".repeat(MAX_KEY)));
        assert_eq!(drift.len(), MAX_DRIFT);
    }
}
