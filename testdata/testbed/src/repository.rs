//! The project as data: its files and its crates, for tests of its own form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::programs;

/// A text file under version control.
pub struct Source {
    /// Path from the root of the repository.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Every file under version control whose name ends in one of `endings`.
pub fn sources(endings: &[&str]) -> Vec<Source> {
    let root = programs::repository();
    let output = run(Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root));
    output
        .split('\0')
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .filter_map(|path| {
            Some(Source {
                path: path.to_owned(),
                text: std::fs::read_to_string(root.join(path)).ok()?,
            })
        })
        .collect()
}

/// A crate as cargo resolved it for this machine.
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file its library starts in, if it has a library.
    pub library: Option<PathBuf>,
    /// The files its library and programs start in.
    pub roots: Vec<PathBuf>,
    /// Ids of the crates it is linked with (not those of its tests and build script).
    pub links: BTreeSet<String>,
    /// Whether it belongs to this workspace.
    pub ours: bool,
}

/// All resolved crates by id.
pub struct Crates(BTreeMap<String, Package>);

impl Crates {
    /// Asks cargo.
    pub fn resolve() -> Self {
        let platform = format!(
            "--filter-platform={}-unknown-linux-gnu",
            std::env::consts::ARCH
        );
        let text = run(&mut cargo(&[
            "metadata",
            "--format-version=1",
            "--locked",
            &platform,
        ]));
        let metadata: Value = serde_json::from_str(&text).expect("cargo prints JSON");
        let links = links_by_id(&metadata);
        let ours: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
        let packages = array(&metadata["packages"]).iter().map(|package| {
            let id = string(&package["id"]);
            let roots = |kinds: &[&str]| -> Vec<PathBuf> {
                let is =
                    |target: &&Value| strings(&target["kind"]).any(|kind| kinds.contains(&kind));
                array(&package["targets"])
                    .iter()
                    .filter(is)
                    .map(|t| string(&t["src_path"]).into())
                    .collect()
            };
            let value = Package {
                name: string(&package["name"]).to_owned(),
                version: string(&package["version"]).to_owned(),
                library: roots(&["lib", "rlib"]).into_iter().next(),
                roots: roots(&["lib", "bin", "proc-macro"]),
                links: links.get(id).cloned().unwrap_or_default(),
                ours: ours.contains(id),
            };
            (id.to_owned(), value)
        });
        Self(packages.collect())
    }

    /// The crates of this workspace.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.0.values().filter(|package| package.ours)
    }

    /// The crates of this workspace that `package` is linked with directly.
    pub fn our_links<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a str> {
        package
            .links
            .iter()
            .map(|id| &self.0[id])
            .filter(|link| link.ours)
            .map(|link| link.name.as_str())
    }

    /// `name` of this workspace and every crate that ends up in a program with it, each with the
    /// features it is built with when nothing but `name` asks; procedural macros run in the
    /// compiler and are left out.
    pub fn closure(&self, name: &str) -> Vec<(&Package, Vec<String>)> {
        let arguments = [
            "tree",
            "--locked",
            "--edges=normal,no-proc-macro",
            "--prefix=none",
            "--format={p}|{f}",
            "-p",
        ];
        let tree = run(cargo(&arguments).arg(name));
        let lines: BTreeSet<&str> = tree
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        let found = lines
            .into_iter()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (package, features) = line.split_once('|').expect("the format asks for a bar");
                let (name, version) = package
                    .split_once(" v")
                    .expect("cargo prints name and version");
                let version = version.split(' ').next().unwrap_or_default();
                let is =
                    |candidate: &&Package| candidate.name == name && candidate.version == version;
                let package = self
                    .0
                    .values()
                    .find(is)
                    .unwrap_or_else(|| panic!("cargo does not know {line}"));
                (package, features.split(',').map(str::to_owned).collect())
            });
        found.collect()
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(programs::repository());
    command
}

fn links_by_id(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let node = |node: &Value| {
        let normal = |dep: &&Value| {
            array(&dep["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
        };
        let links = array(&node["deps"])
            .iter()
            .filter(normal)
            .map(|dep| string(&dep["pkg"]).to_owned())
            .collect();
        (string(&node["id"]).to_owned(), links)
    };
    array(&metadata["resolve"]["nodes"])
        .iter()
        .map(node)
        .collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).iter().filter_map(Value::as_str)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("git and cargo can be run");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("paths of this project are UTF-8")
}

/// A path below the root of the repository, as text.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(programs::repository())
        .unwrap_or(path)
        .display()
        .to_string()
}
