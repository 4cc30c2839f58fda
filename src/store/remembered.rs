//! Records that were delivered, remembered so that they are recognised if they arrive again.
//!
//! The tree holds how many were delivered on each day, by which they are forgotten; their prints lie in files beside it
//! (`store/prints.rs`), since sled would keep them in memory. Before version 0.1 was released they were values of the tree, below the day and the
//! hour of the record; those are read no more, and go with their day.

use super::StoreError;
use super::commit::day_of;
use super::edit::{Edit, Values, payload, unreadable};
use super::key::{Keys, Name, parse};
use crate::domain::{FeedId, RecordPrint, Time};

/// More than any day can bring: the service lets a tenant have some thousand blobs a minute.
const COUNT_MAX: u64 = 1 << 32;

/// How many prints of a day are committed.
pub(super) fn encode_count(count: u64) -> [u8; 8] {
    count.to_be_bytes()
}

pub(super) fn decode_count(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes).filter(|count| *count <= COUNT_MAX)
}

/// Remembers records that are delivered now.
pub(super) fn put(edit: &mut Edit<'_>, records: &[RecordPrint], now: Time) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let key = edit.keys.of(Name::Records { day: day_of(now) });
    let before = edit.read(&key, decode_count)?.unwrap_or_default();
    edit.put(key, &encode_count((before + records.len() as u64).min(COUNT_MAX)))
}

/// Forgets what was delivered on days before `forgotten`, `most` values at once: what was in a blob that is listed no more.
pub(super) fn forget(edit: &mut Edit<'_>, forgotten: Time, most: usize) -> Result<(), StoreError> {
    for key in edit.list(edit.keys.records(i64::MIN, day_of(forgotten)), most)? {
        edit.remove(key)?;
    }
    Ok(())
}

/// How many prints of this day are committed.
pub(super) fn committed(values: &dyn Values, feed: &FeedId, day: i64) -> Result<u64, StoreError> {
    let key = Keys::new(feed).of(Name::Records { day });
    let Some(value) = values.get(&key)? else { return Ok(0) };
    decode_count(payload(&key, &value)?).ok_or_else(|| unreadable(&key))
}

/// The days of which something is remembered, nine or ten, and how much.
pub(super) fn days(values: &dyn Values, feed: &FeedId) -> Result<Vec<(i64, u64)>, StoreError> {
    let mut days = Vec::new();
    let (from, to) = Keys::new(feed).all_records();
    values.walk(&from, &to, &mut |key, value| {
        if let Ok((_, Name::Records { day })) = parse(key) {
            days.push((day, decode_count(payload(key, value)?).ok_or_else(|| unreadable(key))?));
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(days)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Claim, ContentType};
    use crate::sink::{Batch, MemorySink, Sink};
    use crate::store::{Condition, MemoryStore, SledStore, Store};

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: Time = Time(1_772_366_400_000);
    /// More than one block of a file.
    const MANY: u128 = 10_000;

    fn feed(n: u8) -> FeedId {
        FeedId {
            tenant: format!("11111111-0000-4000-8000-00000000000{n}").parse().unwrap(),
            content_type: ContentType::AuditGeneral,
        }
    }

    fn record(n: u128, created: Time) -> RecordPrint {
        // Spread over all bits, as hashes are.
        RecordPrint { created, hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) }
    }

    fn records(numbers: std::ops::Range<u128>) -> Vec<RecordPrint> {
        numbers.map(|n| record(n, NOW - HOUR * u32::try_from(n % 5).unwrap())).collect()
    }

    fn remember(store: &mut impl Store, of: u8, at: Time, records: Vec<RecordPrint>) {
        let claim = Claim {
            feed: feed(of),
            at,
            floor: at - HOUR,
            begin: at - HOUR,
            filter: "28".into(),
            done: Vec::new(),
            parts: Vec::new(),
            gaps: Vec::new(),
            records,
            subscription_start: None,
            forget_before: at - DAY * 7,
        };
        let receipt = MemorySink::new().write(Batch { claim, lines: Vec::new(), line_count: 0, dead: Vec::new() }).unwrap();
        store.commit(receipt).unwrap();
    }

    fn remembered(store: &mut impl Store, of: u8, records: &[RecordPrint]) -> usize {
        store.remembers(&feed(of), records).unwrap().len()
    }

    fn open(dir: &Path) -> SledStore {
        let (store, report) = SledStore::open(dir).unwrap();
        assert!(matches!(report.condition, Condition::FirstStart | Condition::Healthy), "{report:?}");
        assert_eq!(report.warnings, Vec::<String>::new());
        store
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir.join("records")).map(|all| all.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }

    fn on_either(story: impl Fn(&mut dyn FnMut(u8, Time, Vec<RecordPrint>), &mut dyn FnMut(u8, &[RecordPrint]) -> usize)) {
        let memory = std::cell::RefCell::new(MemoryStore::new());
        story(&mut |of, at, records| remember(&mut *memory.borrow_mut(), of, at, records), &mut |of, records| {
            remembered(&mut *memory.borrow_mut(), of, records)
        });
        let dir = tempfile::tempdir().unwrap();
        let disk = std::cell::RefCell::new(open(dir.path()));
        story(&mut |of, at, records| remember(&mut *disk.borrow_mut(), of, at, records), &mut |of, records| {
            remembered(&mut *disk.borrow_mut(), of, records)
        });
    }

    #[test]
    fn what_was_committed_is_remembered_by_its_feed_alone() {
        on_either(|remember, remembered| {
            let all = records(0..1_000);
            assert_eq!(remembered(1, &all), 0);
            for some in all.chunks(70) {
                remember(1, NOW, some.to_vec());
            }
            remember(2, NOW, Vec::new());
            assert_eq!((remembered(1, &all), remembered(2, &all)), (1_000, 0));
            assert_eq!(remembered(1, &records(1_000..2_000)), 0);
            // The time is a part of the content, so this can't be the same record.
            let elsewhere: Vec<_> = all.iter().map(|r| RecordPrint { created: r.created - HOUR * 9, ..*r }).collect();
            assert_eq!(remembered(1, &elsewhere), 0);
        });
    }

    #[test]
    fn it_is_forgotten_a_week_after_it_was_delivered_whenever_it_was_made() {
        on_either(|remember, remembered| {
            let all = [record(1, Time(0)), record(2, NOW - DAY * 300), record(3, NOW), record(4, NOW + DAY * 300)];
            remember(1, NOW, all.to_vec());
            let later = record(5, NOW);
            for day in 1..=7 {
                remember(1, NOW + DAY * day, if day == 4 { vec![later] } else { Vec::new() });
                assert_eq!(remembered(1, &all), 4, "{day}");
            }
            remember(1, NOW + DAY * 8, Vec::new());
            assert_eq!((remembered(1, &all), remembered(1, &[later])), (0, 1));
        });
    }

    #[test]
    fn nothing_is_left_of_it_then() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        remember(&mut store, 1, NOW, records(0..9));
        remember(&mut store, 1, NOW + DAY, records(9..20));
        assert_eq!((files(dir.path()).len(), days(&store.engine, &feed(1)).unwrap().len()), (2, 2));
        // Without a look at them they stay until the next process looks.
        remember(&mut store, 1, NOW + DAY * 8, Vec::new());
        let tenant = feed(1).tenant;
        let foreign =
            ["notes".to_owned(), format!("{tenant}.Audit.General.x"), format!("{tenant}.x.5"), "x.Audit.General.5".into()];
        foreign.iter().for_each(|name| fs::write(dir.path().join("records").join(name), "a person's").unwrap());
        store.close().unwrap();
        let mut store = open(dir.path());
        assert_eq!(remembered(&mut store, 1, &records(0..20)), 11);
        assert_eq!(files(dir.path()).len(), 5, "one day's and what is not ours");
        remember(&mut store, 1, NOW + DAY * 9, Vec::new());
        assert_eq!(remembered(&mut store, 1, &records(0..20)), 0);
        assert_eq!((files(dir.path()).len(), days(&store.engine, &feed(1)).unwrap()), (4, vec![]));
        // A clock that went back writes a day that is forgotten.
        remember(&mut store, 1, NOW + DAY, records(0..3));
        remember(&mut store, 1, NOW + DAY * 9, records(3..6));
        assert_eq!(remembered(&mut store, 1, &records(0..6)), 3);
    }

    /// The file that was written last stays open.
    #[test]
    fn each_batch_goes_to_the_file_of_its_feed_and_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        for (of, numbers) in [(1, 0..10), (2, 20..30), (1, 10..20), (2, 30..40)] {
            remember(&mut store, of, NOW, records(numbers));
        }
        assert_eq!((remembered(&mut store, 1, &records(0..40)), remembered(&mut store, 2, &records(0..40))), (20, 20));
        remember(&mut store, 2, NOW + DAY, records(40..50));
        remember(&mut store, 2, NOW, records(50..60));
        drop(store);
        assert_eq!(remembered(&mut open(dir.path()), 2, &records(0..60)), 40);
    }

    #[test]
    fn it_survives_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        assert_eq!(remembered(&mut store, 1, &records(0..MANY)), 0, "the sieve is made before the first of them");
        for begin in (0..MANY).step_by(1_000) {
            remember(&mut store, 1, NOW, records(begin..begin + 1_000));
        }
        assert_eq!(remembered(&mut store, 1, &records(0..MANY)), 10_000);
        assert!(!store.prints.must_learn(), "the files are read once");
        store.close().unwrap();
        let mut store = open(dir.path());
        assert_eq!(remembered(&mut store, 1, &records(0..2 * MANY)), 10_000);
        remember(&mut store, 1, NOW, records(MANY..MANY + 7));
        assert_eq!(remembered(&mut store, 1, &records(0..2 * MANY)), 10_007);
    }

    #[test]
    fn what_was_written_and_not_committed_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        remember(&mut store, 1, NOW, records(0..10));
        store.prints.write(&feed(1), day_of(NOW), 10, &records(10..20)).unwrap();
        drop(store);
        let mut store = open(dir.path());
        assert_eq!(remembered(&mut store, 1, &records(0..20)), 10);
        remember(&mut store, 1, NOW, records(20..23));
        drop(store);
        let mut store = open(dir.path());
        assert_eq!(remembered(&mut store, 1, &records(0..30)), 13);
    }

    #[test]
    fn a_lost_or_damaged_file_costs_what_it_held_and_nothing_else() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("gone", |file| fs::remove_file(file).unwrap()),
            ("cut", |file| fs::OpenOptions::new().write(true).open(file).unwrap().set_len(50 * 24 + 7).unwrap()),
            ("flipped", |file| {
                let mut bytes = fs::read(file).unwrap();
                bytes.iter_mut().skip(50 * 24).for_each(|byte| *byte ^= 0x10);
                fs::write(file, bytes).unwrap();
            }),
            ("a link", |file| {
                fs::rename(file, file.with_file_name("elsewhere")).unwrap();
                std::os::unix::fs::symlink("elsewhere", file).unwrap();
            }),
            ("a directory", |file| {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            }),
        ];
        for (what, damage) in damages {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path());
            remember(&mut store, 1, NOW, records(0..100));
            remember(&mut store, 1, NOW + DAY, records(100..110));
            drop(store);
            let [file] = &files(dir.path()).into_iter().filter(|f| f.metadata().unwrap().len() > 1_000).collect::<Vec<_>>()[..]
            else {
                panic!("one of the two is large")
            };
            damage(file);
            let mut store = open(dir.path());
            let left = if matches!(what, "cut" | "flipped") { 50 } else { 0 };
            assert_eq!(remembered(&mut store, 1, &records(0..110)), left + 10, "{what}");
            // What is no file has been set aside before the next batch is written.
            remember(&mut store, 1, NOW, records(200..210));
            assert_eq!(remembered(&mut store, 1, &records(0..210)), left + 20, "{what}");
            assert_eq!(store.inspect().unwrap().feeds[0].records_remembered, 120);
            assert_eq!(dir.path().join("aside").exists(), what.starts_with("a "), "{what}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever the clock does, however often the process ends, and whatever it had written then.
        #[test]
        fn a_disk_remembers_what_memory_does(
            batches in proptest::collection::vec((1_u8..3, 0_u32..14, 0_u128..60, 0_u128..20, any::<bool>(), any::<bool>()), 1..25),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut memory, mut disk) = (MemoryStore::new(), open(dir.path()));
            for (of, day, begin, length, ends, writes_more) in batches {
                let (at, some) = (NOW + DAY * day, records(begin..begin + length));
                remember(&mut memory, of, at, some.clone());
                remember(&mut disk, of, at, some);
                if writes_more {
                    let before = committed(&disk.engine, &feed(of), day_of(at)).unwrap();
                    disk.prints.write(&feed(of), day_of(at), before, &records(begin + 500..begin + 510)).unwrap();
                }
                if ends {
                    drop(disk);
                    disk = open(dir.path());
                }
                for of in 1..3 {
                    let all = records(0..600);
                    prop_assert_eq!(disk.remembers(&feed(of), &all).unwrap(), memory.remembers(&feed(of), &all).unwrap());
                }
            }
        }
    }

    #[test]
    fn what_another_state_remembers_is_nothing_to_this_one() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, numbers) in [(&one, 0..10), (&other, 10..20)] {
            let mut store = open(dir.path());
            remember(&mut store, 1, NOW, records(numbers));
        }
        fs::copy(&files(one.path())[0], &files(other.path())[0]).unwrap();
        let mut store = open(other.path());
        assert_eq!(remembered(&mut store, 1, &records(0..20)), 0);
    }
}
