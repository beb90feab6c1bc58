//! The user's editor on a file that only the user may read.
//! Source: k8s.io/kubectl/pkg/cmd/util/editor/editor.go.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::Random as _;
use crate::cli::{CliError, Context};
use crate::store::SystemRandom;

/// The program and its arguments.
fn command(ctx: &Context) -> Vec<String> {
    let set = |name: &str| ctx.env.get(name).filter(|v| !v.is_empty()).cloned();
    let editor = set("KUBE_EDITOR").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    if !editor.contains(' ') {
        return vec![editor];
    }
    if !editor.contains(['"', '\'', '\\']) {
        return editor.split(' ').map(str::to_owned).collect();
    }
    // Who quotes means a shell to read it.
    vec![set("SHELL").unwrap_or_else(|| "/bin/bash".into()), "-c".into(), editor]
}

/// Opens `text` in the editor; answers with the file and what is in it afterwards.
pub fn open(ctx: &mut Context, text: &str, extension: &str) -> Result<(PathBuf, String), CliError> {
    ctx.out.flush();
    let path = write(text, extension)?;
    let mut words = command(ctx);
    let shell = words.len() == 3 && words[1] == "-c";
    if shell {
        words[2] = format!("{} {:?}", words[2], path.display().to_string());
    } else {
        words.push(path.display().to_string());
    }
    let failed = |why: String| {
        let editor = words[..words.len() - usize::from(!shell)].join(" ");
        CliError::message(format!("there was a problem with the editor \"{editor}\"{why}"))
    };
    let status = Command::new(&words[0]).args(&words[1..]).current_dir(&ctx.cwd).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => {
            forget(&path);
            return Err(failed(String::new()));
        }
        Err(error) => {
            forget(&path);
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let editor = &words[0];
            return Err(if missing {
                CliError::message(format!("unable to launch the editor \"{editor}\""))
            } else {
                failed(format!(": {error}"))
            });
        }
    }
    let edited = std::fs::read_to_string(&path);
    let edited = edited.map_err(|e| CliError::message(format!("the edited file cannot be read: {e}")))?;
    Ok((path, edited))
}

fn write(text: &str, extension: &str) -> Result<PathBuf, CliError> {
    let name = format!("wl-edit-{}{extension}", SystemRandom::new().next_u64() % 10_000_000_000);
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| CliError::message(format!("no file for the editor: {}: {e}", path.display())))?;
    Ok(path)
}

/// Takes the file away; one that is gone already is as good.
pub fn forget(path: &Path) {
    let _ = std::fs::remove_file(path);
}
