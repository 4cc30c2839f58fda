//! "Did you mean …?"

/// The candidate that `name` was most likely meant to be, if one is near enough.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names than any of ours are not typing mistakes, and comparing them would cost time.
    const LENGTH_MAX: usize = 64;
    let name: Vec<char> = name.to_ascii_lowercase().replace('-', "_").chars().collect();
    if name.len() > LENGTH_MAX {
        return None;
    }
    let near = (name.len() / 3).max(1);
    candidates
        .map(|candidate| {
            let other: Vec<char> = candidate.to_ascii_lowercase().replace('-', "_").chars().collect();
            let begins = name.len() >= 4 && other.starts_with(&name);
            (if begins { 1 } else { distance(&name, &other) }, candidate)
        })
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out or changed.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["state_dir", "client_id", "client_secret_file", "cloud"];
        assert_eq!(nearest("state-dir", keys.into_iter()), Some("state_dir"));
        assert_eq!(nearest("staet_dir", keys.into_iter()), Some("state_dir"));
        assert_eq!(nearest("client_secert_file", keys.into_iter()), Some("client_secret_file"));
        assert_eq!(nearest("CLUOD", keys.into_iter()), None);
        assert_eq!(nearest("clouds", keys.into_iter()), Some("cloud"));
        assert_eq!(nearest("something_else", keys.into_iter()), None);
        assert_eq!(nearest("", keys.into_iter()), None);
    }
}
