//! How a broken element in a sequence leaves the following lines alone. (A blob has no lines: there, brackets alone decide.)

use super::{Framer, Line};
use crate::decode::lines::Finder;
use crate::decode::{DeadReason, Item};

impl Framer {
    /// In a sequence, when an element has just turned out to be broken at `bad`: if a line that it must leave alone has already begun
    /// within it, ends it there and says where to go on.
    pub(super) fn look_back<F: FnMut(Item<'_>)>(&mut self, chunk: &[u8], from: usize, bad: usize, each: &mut F) -> Option<usize> {
        let lines = self.lines.as_mut()?;
        lines.finder = Finder::new(lines.element);
        if self.scanner.earlier() + (bad - from) > self.limits.element {
            // Its bytes are already out; only lines from here on can be spared.
            return None;
        }
        if self.restart_within_held(each) {
            return Some(from);
        }
        let (found, indent) = self.lines.as_mut()?.finder.find(&chunk[from..bad])?;
        Some(self.cut_at_line(chunk, from, from + found, indent, DeadReason::InvalidSyntax, each))
    }

    /// If such a line begins in the bytes held, ends the element there and decodes the rest of these bytes anew.
    pub(super) fn restart_within_held<F: FnMut(Item<'_>)>(&mut self, each: &mut F) -> bool {
        let Some(lines) = &mut self.lines else { return false };
        lines.finder = Finder::new(lines.element);
        let Some((found, indent)) = lines.finder.find(self.held.bytes()) else { return false };
        let again = self.held.split_off(found);
        self.cut_at_line(&[], 0, 0, indent, DeadReason::InvalidSyntax, each);
        // Nothing is held when these bytes come again, so this never goes deeper than one level.
        self.push(&again, each);
        true
    }

    /// Ends a broken element before the line whose bracket stands at `end`.
    pub(super) fn cut_at_line<F: FnMut(Item<'_>)>(
        &mut self,
        chunk: &[u8],
        from: usize,
        end: usize,
        indent: usize,
        fault: DeadReason,
        each: &mut F,
    ) -> usize {
        self.complete(&chunk[from..end], Some(fault), each);
        if let Some(lines) = &mut self.lines {
            lines.line = Line { indent, is_blank: true };
        }
        end
    }
}
