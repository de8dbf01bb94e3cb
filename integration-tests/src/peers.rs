//! Clients that others wrote, installed once from their registries.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{Result, cache, tell};

/// A client, and what runs its programs.
#[derive(Debug)]
pub struct Peer {
    program: PathBuf,
    /// Where its programs are to be found by it.
    folder: PathBuf,
}

impl Peer {
    /// A Python environment with what a list of requirements names.
    ///
    /// # Errors
    /// What is missing on this machine, or what pip says.
    pub fn python(name: &str, requirements: &str) -> Result<Self> {
        let install = "install Python 3 with its module venv";
        look_for("python3", install)?;
        let folder = kept(name, requirements, |folder| {
            let home = folder.join("made");
            run(Command::new("python3").args(["-m", "venv"]).arg(&home), install)?;
            let list = folder.join("requirements.txt");
            fs::write(&list, requirements)?;
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
            run(Command::new(home.join("bin/python")).args(pip).arg(&list), "look at the registry")
        })?;
        Ok(Self { program: folder.join("bin/python"), folder })
    }

    /// A folder of node's with what a `package.json` names.
    ///
    /// # Errors
    /// What is missing on this machine, or what npm says.
    pub fn node(name: &str, package: &str) -> Result<Self> {
        let install = "install Node.js with npm";
        look_for("node", install)?;
        look_for("npm", install)?;
        let folder = kept(name, package, |folder| {
            let home = folder.join("made");
            fs::create_dir(&home)?;
            fs::write(home.join("package.json"), package)?;
            let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
            run(Command::new("npm").args(npm).current_dir(&home), "look at the registry")
        })?;
        Ok(Self { program: PathBuf::from("node"), folder })
    }

    /// Runs a program with arguments, and gives the JSON that it printed.
    ///
    /// # Errors
    /// What the program said, if it failed.
    pub fn run(&self, name: &str, text: &str, arguments: &[&str]) -> Result<Value> {
        // Beside what it imports.
        let program = self.folder.join(name);
        fs::write(&program, text)?;
        let ran = Command::new(&self.program)
            .arg(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()?;
        let (out, err) =
            (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        if !ran.status.success() {
            return Err(format!("{name} failed: {out}{err}").into());
        }
        serde_json::from_str(&out)
            .map_err(|error| format!("{name} printed `{out}`: {error}").into())
    }
}

fn kept(name: &str, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let place = format!("{name}-{:016x}", hasher.finish());
    cache::kept(&cache::folder("peers"), &place, "made", |folder| {
        tell(format_args!("{name} is installed, once"));
        make(folder)
    })
}

fn look_for(program: &str, install: &str) -> Result<()> {
    match Command::new(program).arg("--version").output() {
        Ok(ran) if ran.status.success() => Ok(()),
        _ => Err(format!("no {program}: {install}").into()),
    }
}

fn run(command: &mut Command, advice: &str) -> Result<()> {
    let ran = command.stdin(Stdio::null()).output()?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("{command:?} failed; {advice}: {said}").into())
}
