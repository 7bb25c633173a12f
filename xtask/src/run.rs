//! Running other programs: say what runs, stream what it prints, fail with context.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// Announces a new part of the work.
pub fn headline(text: &str) {
    println!("\n==> {text}");
}

/// Announces a command, lets it print, and fails if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = announce(command);
    let status = command.status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Announces a command and lets it print, keeping a copy of its standard output.
/// A failure of the command is the caller's to judge.
pub fn tee(command: &mut Command) -> Result<(ExitStatus, String)> {
    let shown = announce(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("could not start `{shown}`"))?;
    let mut kept = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            kept.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    Ok((child.wait()?, kept))
}

/// Runs a command quietly and returns its standard output without the trailing white space.
pub fn output(command: &mut Command) -> Result<String> {
    output_with_input(command, "")
}

/// Like [`output`], with a text for the command's standard input.
pub fn output_with_input(command: &mut Command, input: &str) -> Result<String> {
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{shown}`"))?;
    let stdin = child.stdin.take();
    let out = thread::scope(|scope| {
        // In a thread of its own, since both pipes can be full at once. A command that ends
        // without reading everything says why by its status, not by our broken pipe.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        child.wait_with_output()
    })?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        bail!("`{shown}` failed ({}): {}", out.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// Whether a command can be started and succeeds; prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one could type it.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn announce(command: &Command) -> String {
    let shown = show(command);
    println!("$ {shown}");
    shown
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_command_as_one_would_type_it() {
        let mut command = Command::new("echo");
        command.args(["a-b", "two words", "it's", ""]);
        assert_eq!(show(&command), r"echo a-b 'two words' 'it'\''s' ''");
    }

    #[test]
    fn output_tells_what_the_command_said() {
        let failed = output(Command::new("sh").args(["-c", "echo reason >&2; exit 3"]));
        assert!(failed.is_err_and(|error| error.to_string().contains("reason")));
    }

    #[test]
    fn more_input_and_output_than_a_pipe_holds() -> Result<()> {
        let text = "0123456789\n".repeat(50_000);
        assert_eq!(output_with_input(&mut Command::new("cat"), &text)?, text.trim_end());
        Ok(())
    }
}
