//! Cassandra's jars and the Java that runs them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Result, cache, tell};

const POM: &str = include_str!("../servers/cassandra/pom.xml");

/// What to install where there is no server to be had.
pub(crate) const INSTALL: &str = "install JDK 17 and Maven, or start a container engine, or set \
                                  UNIBATCH_CQL_URL to a cluster for tests";

/// What a node runs from.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) java: PathBuf,
    pub(crate) library: PathBuf,
}

impl Runtime {
    /// Finds Java, and the jars, which are downloaded once and kept.
    pub(crate) fn find() -> Result<Self> {
        let java = find_java().ok_or_else(|| format!("no JDK 17: {INSTALL}"))?;
        Ok(Self { java, library: jars()? })
    }

    /// The agent that measures objects; Cassandra does not start without it.
    pub(crate) fn agent(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(&self.library)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("jamm-") && name.ends_with(".jar") {
                return Ok(path);
            }
        }
        Err(format!("no jamm among the jars in {}", self.library.display()).into())
    }
}

/// The first Java of version 17: the one that is asked for, the one in the path, an installed one.
fn find_java() -> Option<PathBuf> {
    let asked = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let installed = installed.map(|entry| entry.path().join("bin/java"));
    let mut candidates = asked.into_iter().chain([PathBuf::from("java")]).chain(installed);
    candidates.find(|java| is_java_17(java))
}

fn is_java_17(java: &Path) -> bool {
    let said = Command::new(java).arg("-version").stdin(Stdio::null()).output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stderr).contains("version \"17."))
}

/// The version of Cassandra: the first one that the list of jars names after the artifact.
fn version() -> Result<&'static str> {
    let after = POM.split_once("<artifactId>cassandra-all</artifactId>").map(|(_, after)| after);
    let version = after.and_then(|after| after.split_once("<version>")?.1.split_once("</version>"));
    version.map(|(version, _)| version).ok_or_else(|| "pom.xml names no version".into())
}

/// The folder of the jars.
fn jars() -> Result<PathBuf> {
    cache::kept(&cache(), &format!("cassandra-{}", version()?), "lib", download)
}

fn cache() -> PathBuf {
    cache::folder("servers")
}

fn download(folder: &Path) -> Result<()> {
    let (pom, library) = (folder.join("pom.xml"), folder.join("lib"));
    fs::write(&pom, POM)?;
    tell(format_args!("Maven fetches the jars of Cassandra {} (66 MB, once)", version()?));
    let mut maven = Command::new("mvn")
        .args(["--batch-mode", "-Dstyle.color=never", "--file"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", library.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no Maven ({error}): {INSTALL}"))?;
    let mut said = Vec::new();
    let mut fetched = 0_u32;
    if let Some(out) = maven.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line?;
            if line.contains("Downloaded from") && line.contains(".jar") {
                fetched += 1;
                if fetched.is_multiple_of(20) {
                    tell(format_args!("{fetched} jars fetched"));
                }
            }
            said.push(line);
        }
    }
    if maven.wait()?.success() {
        let jars = fs::read_dir(&library)?.count();
        tell(format_args!("{jars} jars are kept in {}", cache().display()));
        return Ok(());
    }
    let errors: Vec<_> = said.iter().filter(|line| line.contains("ERROR")).take(5).collect();
    Err(format!("Maven cannot fetch Cassandra's jars: {errors:?}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_jars_names_one_version_of_cassandra() {
        let version = version().unwrap();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
        assert_eq!(version.split('.').count(), 3, "{version}");
    }
}
