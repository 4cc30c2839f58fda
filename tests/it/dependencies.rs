//! What the product is built from: the rules of `deny.toml`, held without cargo-deny, and one line of reason for each
//! dependency of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for this package itself.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Deserialize)]
struct Dependency {
    name: String,
    req: String,
}

#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: BTreeSet<String>,
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn rules() -> Rules {
    toml::from_str(&read("deny.toml")).unwrap()
}

/// What this machine builds the product from. It was downloaded to build this test, so no network is needed.
fn packages() -> Vec<Package> {
    let output = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rustc = output("rustc", &["-vV"]);
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let args = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    serde_json::from_str::<Metadata>(&output(&cargo, &args)).unwrap().packages
}

/// What is wrong with what the product is built from.
fn violations(packages: &[Package], rules: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        versions.entry(&package.name).or_default().push(&package.version);
        match &package.license {
            Some(license) if allows(license, &rules.licenses.allow) => {}
            other => found.push(format!("{name}: the licence {other:?} is not allowed")),
        }
        if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == package.name) {
            found.push(format!("{name}: banned: {}", ban.reason));
        }
        let registry = package.source.as_ref().map(|source| source.trim_start_matches("registry+"));
        if registry.is_some_and(|registry| !rules.sources.allow_registry.contains(registry)) {
            found.push(format!("{name}: comes from {:?}", package.source));
        }
        let wildcards = package.dependencies.iter().filter(|dependency| package.source.is_none() && dependency.req == "*");
        found.extend(wildcards.map(|dependency| format!("{}: any version will do? name one", dependency.name)));
    }
    for (name, versions) in versions {
        let skipped = |version: &&&str| rules.bans.skip.iter().any(|skip| names(&skip.name, name, version));
        let counted: Vec<_> = versions.iter().filter(|version| !skipped(version)).collect();
        if counted.len() > 1 {
            found.push(format!("{name}: several versions: {counted:?}"));
        }
    }
    for skip in &rules.bans.skip {
        if !packages.iter().any(|package| names(&skip.name, &package.name, &package.version)) {
            found.push(format!("{}: nothing needs this exception any more", skip.name));
        }
    }
    found
}

/// `syn@2` names every version 2 of syn.
fn names(spec: &str, name: &str, version: &str) -> bool {
    let (wanted, prefix) = spec.split_once('@').unwrap_or((spec, ""));
    wanted == name && (prefix.is_empty() || version == prefix || version.starts_with(&format!("{prefix}.")))
}

/// True if the licence leaves a choice that is allowed. `AND` binds closer than `OR`; the old `/` means `OR`.
fn allows(license: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = license.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = any_of(&words, &mut at, allowed);
    verdict && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut verdict = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= all_of(words, at, allowed);
    }
    verdict
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut verdict = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(words, at, allowed);
    }
    verdict
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let verdict = any_of(words, at, allowed);
        *at += 1;
        return verdict;
    }
    if words.get(*at) == Some(&"WITH") {
        let whole = words[*at - 1..(*at + 2).min(words.len())].join(" ");
        *at += 2;
        return allowed.contains(&whole);
    }
    allowed.contains(*word)
}

#[test]
fn the_rules_of_deny_toml_hold() {
    let (packages, rules) = (packages(), rules());
    assert!(packages.len() > 50 && rules.bans.deny.len() > 5, "{} packages", packages.len());
    let found = violations(&packages, &rules);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let reasons = rules.bans.deny.iter().chain(&rules.bans.skip);
    reasons.for_each(|named| assert!(named.reason.len() > 10, "{}: why?", named.name));
}

#[test]
fn each_dependency_of_ours_has_a_line_of_reason() {
    let document = read("ARCHITECTURE.md");
    let section = document.split("\n## ").find(|section| section.starts_with("Dependencies")).expect("a section of that name");
    let ours = packages().into_iter().find(|package| package.source.is_none()).unwrap();
    assert!(ours.dependencies.len() > 20);
    let silent: Vec<_> = ours.dependencies.iter().filter(|d| !section.contains(&format!("`{}`", d.name))).collect();
    assert!(silent.is_empty(), "ARCHITECTURE.md, Dependencies, says nothing about {silent:#?}");
}

fn package(name: &str, version: &str, license: &str, source: &str) -> Package {
    let (license, source) = (Some(license.to_owned()), (!source.is_empty()).then(|| source.to_owned()));
    Package { name: name.to_owned(), version: version.to_owned(), license, source, dependencies: Vec::new() }
}

#[test]
fn each_broken_rule_is_found() {
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let fine = [
        package("a", "1.0.0", "MIT OR Apache-2.0", CRATES_IO),
        package("getrandom", "0.2.17", "MIT", CRATES_IO),
        package("getrandom", "0.4.3", "MIT", CRATES_IO),
        package("syn", "2.0.1", "MIT", CRATES_IO),
    ];
    assert_eq!(violations(&fine, &rules()), [""; 0]);
    let broken = [
        (package("b", "1.0.0", "GPL-3.0", CRATES_IO), "the licence"),
        (Package { license: None, ..package("b", "1.0.0", "", CRATES_IO) }, "the licence"),
        (package("openssl-sys", "0.9.1", "MIT", CRATES_IO), "banned"),
        (package("b", "1.0.0", "MIT", "git+https://github.com/x/y"), "comes from"),
        (package("a", "2.0.0", "MIT", CRATES_IO), "several versions"),
        (package("getrandom", "0.3.0", "MIT", CRATES_IO), "several versions"),
        (
            Package {
                dependencies: vec![Dependency { name: "c".to_owned(), req: "*".to_owned() }],
                ..package("ours", "0.1.0", "MIT", "")
            },
            "any version",
        ),
    ];
    for (package, why) in broken {
        let found = violations(&[&fine[..], std::slice::from_ref(&package)].concat(), &rules());
        assert!(found.len() == 1 && found[0].contains(why), "{package:?}: {found:?}");
    }
    let found = violations(&fine[..1], &rules());
    assert!(found.len() == rules().bans.skip.len() && found[0].contains("nothing needs"), "{found:?}");
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (license, verdict) in [
        ("MIT", true),
        ("GPL-2.0", false),
        ("GPL-2.0 OR MIT", true),
        ("GPL-2.0/MIT", true),
        ("MIT AND ISC", true),
        ("MIT AND GPL-2.0", false),
        ("GPL-2.0 OR MIT AND ISC", true),
        ("(GPL-2.0 OR MIT) AND BSD-2-Clause", false),
        ("(GPL-2.0 OR MIT) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH Classpath-exception-2.0 OR MIT", true),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(allows(license, &allowed), verdict, "{license}");
    }
}
