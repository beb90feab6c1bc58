//! Progress for a person (in place), for a log (a line per change), for a program (NDJSON).

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::follow::Ended;
use crate::cli::Context;
use crate::cli::terminal::escape;

/// So many objects get a line of their own on a terminal; the others share one.
const MOST_LINES: usize = 12;

/// How progress is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// In place on a terminal, else plain
    #[default]
    Auto,
    /// One line per change
    Plain,
    /// One JSON object per change, on stdout
    Json,
    /// Nothing
    None,
}

/// Tells progress, object by object.
pub struct Progress {
    style: Style,
    bars: Option<MultiProgress>,
    lines: HashMap<String, ProgressBar>,
    others: Option<ProgressBar>,
    last: HashMap<String, String>,
}

impl Progress {
    pub fn new(ctx: &Context, style: Style) -> Self {
        let in_place = style == Style::Auto && ctx.err.is_terminal();
        let bars = in_place.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Progress { style, bars, lines: HashMap::new(), others: None, last: HashMap::new() }
    }

    /// Tells one object's state; the same state again is not repeated.
    pub fn tell(&mut self, ctx: &mut Context, label: &str, sentence: &str, ended: Option<&Ended>) {
        let told = format!("{sentence}{ended:?}");
        let before = self.last.insert(label.to_owned(), told.clone());
        if before.as_ref() == Some(&told) {
            return;
        }
        match self.style {
            Style::None => {}
            Style::Json => ctx.out.line(&event(label, sentence, ended).to_string()),
            Style::Auto | Style::Plain if self.bars.is_some() => self.draw(label, sentence, ended),
            // What has settled at once needs no line: the answer on stdout says all.
            Style::Auto | Style::Plain => match ended {
                Some(Ended::Settled) if before.is_none() => {}
                _ => ctx.err.line(&format!("{label}: {sentence}")),
            },
        }
    }

    fn draw(&mut self, label: &str, sentence: &str, ended: Option<&Ended>) {
        let Some(bars) = &self.bars else { return };
        let text = format!("{}: {}", escape(label), escape(sentence));
        if !self.lines.contains_key(label) && self.lines.len() >= MOST_LINES {
            let others = self.others.get_or_insert_with(|| bars.add(spinner()));
            others.set_message(text);
            return;
        }
        let line = self.lines.entry(label.to_owned()).or_insert_with(|| bars.add(spinner()));
        match ended {
            None => line.set_message(text),
            Some(Ended::Settled) => finish(line, "✓", text),
            Some(_) => finish(line, "✗", text),
        }
    }

    /// Leaves the last state on the screen.
    pub fn finish(&mut self, ctx: &mut Context) {
        if let Some(others) = self.others.take() {
            others.finish_and_clear();
        }
        self.lines.clear();
        ctx.out.flush();
        ctx.err.flush();
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

fn finish(line: &ProgressBar, sign: &str, text: String) {
    if let Ok(style) = ProgressStyle::with_template(&format!("{sign} {{msg}}")) {
        line.set_style(style);
    }
    line.finish_with_message(text);
}

fn event(label: &str, sentence: &str, ended: Option<&Ended>) -> serde_json::Value {
    let state = match ended {
        None => "waiting",
        Some(Ended::Settled) => "settled",
        Some(Ended::Failed(_)) => "failed",
        Some(Ended::TimedOut(_)) => "timed-out",
    };
    let mut event = json!({"object": label, "state": state, "message": sentence});
    if let Some(Ended::Failed(why)) = ended {
        event["reason"] = json!(why);
    }
    event
}
