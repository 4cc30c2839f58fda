//! Sets of named fields: how a file declares the fields of a record, an entity, an attachment.

use serde_json::Value;

use super::field::Slot;
use super::schema::Shapes;

/// A field's name on the wire and other names that records or documentation have for it. Names that differ in case,
/// spaces, hyphens or underscores only need not be given.
#[derive(Debug)]
pub struct Key {
    /// The name on the wire.
    pub name: &'static str,
    /// Other names.
    pub also: &'static [&'static str],
}

/// A set of named fields.
pub trait Fields: Default {
    /// How many.
    const COUNT: usize;

    /// True if members besides these fields are to be expected, so that they are no drift.
    const OPEN: bool = false;

    /// What the schema calls an object with these fields.
    fn title() -> String;

    /// Hands each field's name, its shape, and whether a name stands beside it, to `add`.
    fn shapes(shapes: &mut Shapes, add: &mut dyn FnMut(&'static str, Value, bool));

    /// The name of the field with this position.
    fn key(at: usize) -> Option<&'static Key>;

    /// The field with this position.
    fn slot(&self, at: usize) -> Option<&dyn Slot>;

    /// The field with this position.
    fn slot_mut(&mut self, at: usize) -> Option<&mut dyn Slot>;
}

/// Declares a set of fields; `open` after its name says that others are to be expected. Each is a [`Field`](super::field::Field) of the given type; after `=` stands its name on the wire, then others.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident $($open:ident)? { $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal $(| $also:literal)*;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            $(
                #[doc = concat!("`", $key, "`")]
                $(#[$field_doc])*
                pub $field: $crate::event::field::Field<$type>,
            )*
        }

        impl $crate::event::fields::Fields for $name {
            const COUNT: usize = [$($key),*].len();
            const OPEN: bool = { let marks: &[&str] = &[$(stringify!($open))?]; !marks.is_empty() };

            fn title() -> String {
                stringify!($name).to_owned()
            }

            fn shapes(
                shapes: &mut $crate::event::schema::Shapes,
                add: &mut dyn FnMut(&'static str, serde_json::Value, bool),
            ) {
                $(
                    let shape = <$type as $crate::event::field::Model>::shape(shapes);
                    add($key, shape, <$type as $crate::event::field::Model>::NAMED);
                )*
            }

            fn key(at: usize) -> Option<&'static $crate::event::fields::Key> {
                const KEYS: &[$crate::event::fields::Key] = &[$($crate::event::fields::Key { name: $key, also: &[$($also),*] }),*];
                KEYS.get(at)
            }

            fn slot(&self, at: usize) -> Option<&dyn $crate::event::field::Slot> {
                let mut left = at;
                $(
                    if left == 0 {
                        return Some(&self.$field);
                    }
                    left -= 1;
                )*
                let _ = left;
                None
            }

            fn slot_mut(&mut self, at: usize) -> Option<&mut dyn $crate::event::field::Slot> {
                let mut left = at;
                $(
                    if left == 0 {
                        return Some(&mut self.$field);
                    }
                    left -= 1;
                )*
                let _ = left;
                None
            }
        }
    };
}
pub(crate) use fields;

/// Two sets of fields in one object: what all objects of a family share, and what this kind has of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Joined<A, B> {
    /// What all share.
    pub common: A,
    /// What this kind has.
    pub own: B,
}

impl<A: Fields, B: Fields> Fields for Joined<A, B> {
    const COUNT: usize = A::COUNT + B::COUNT;
    const OPEN: bool = A::OPEN || B::OPEN;

    fn title() -> String {
        // Of a kind that has nothing of its own, what all share.
        if B::COUNT == 0 { A::title() } else { B::title() }
    }

    fn shapes(shapes: &mut Shapes, add: &mut dyn FnMut(&'static str, Value, bool)) {
        A::shapes(shapes, add);
        B::shapes(shapes, add);
    }

    fn key(at: usize) -> Option<&'static Key> {
        at.checked_sub(A::COUNT).map_or_else(|| A::key(at), B::key)
    }

    fn slot(&self, at: usize) -> Option<&dyn Slot> {
        match at.checked_sub(A::COUNT) {
            None => self.common.slot(at),
            Some(at) => self.own.slot(at),
        }
    }

    fn slot_mut(&mut self, at: usize) -> Option<&mut dyn Slot> {
        match at.checked_sub(A::COUNT) {
            None => self.common.slot_mut(at),
            Some(at) => self.own.slot_mut(at),
        }
    }
}

/// No fields of its own: a record or entity of a kind that is not typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Untyped;

impl Fields for Untyped {
    const COUNT: usize = 0;
    const OPEN: bool = true;

    fn title() -> String {
        "Untyped".to_owned()
    }

    fn shapes(_shapes: &mut Shapes, _add: &mut dyn FnMut(&'static str, Value, bool)) {}

    fn key(_at: usize) -> Option<&'static Key> {
        None
    }

    fn slot(&self, _at: usize) -> Option<&dyn Slot> {
        None
    }

    fn slot_mut(&mut self, _at: usize) -> Option<&mut dyn Slot> {
        None
    }
}
