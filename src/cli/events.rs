//! Events of a task on a terminal: a progress bar and warnings on stderr, or JSON lines on stdout.
//! Where stderr is a file, a line now and then stands in for the bar.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::print_line;
use crate::progress::{Event, Reporter};

/// Between two lines in a file.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Where a command's events go.
pub fn reporter(json: bool) -> Reporter {
    if json {
        return Reporter::new(|event| {
            if let Ok(line) = serde_json::to_string(&event) {
                print_line(&line);
            }
        });
    }
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::new(0);
        bar.set_style(style("{spinner} {msg}"));
        return Reporter::new(move |event| show(&bar, event));
    }
    let lines = Mutex::new(Lines::new());
    Reporter::new(move |event| {
        if let Some(line) = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).of(event) {
            eprintln!("{line}");
        }
    })
}

fn show(bar: &ProgressBar, event: Event) {
    match event {
        Event::Started { title } => bar.set_message(title),
        Event::Progress { done, total, unit } => {
            if total > 0 && bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_style(style(&format!("{{msg}} [{{bar:30}}] {{pos}}/{{len}} {unit}, {{eta}} left")));
            }
            bar.set_position(done);
        }
        Event::Metric { name, value, .. } => bar.set_message(format!("{name} {value:.4}")),
        Event::Warning { message } => bar.suspend(|| eprintln!("warning: {message}")),
        Event::Finished { message } => {
            bar.finish_and_clear();
            eprintln!("{message}");
        }
        // The error itself is printed by whoever ran the task.
        Event::Failed { .. } => bar.finish_and_clear(),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Events as lines of a log: newest metrics with the progress, not more often than [`LINE_EVERY`].
struct Lines {
    last: Instant,
    metrics: BTreeMap<String, f64>,
}

impl Lines {
    fn new() -> Self {
        Self { last: Instant::now(), metrics: BTreeMap::new() }
    }

    fn of(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Warning { message } => Some(format!("warning: {message}")),
            Event::Finished { message } => Some(message),
            Event::Metric { name, value, .. } => {
                self.metrics.insert(name, value);
                None
            }
            Event::Progress { done, total, unit } if self.last.elapsed() >= LINE_EVERY => {
                self.last = Instant::now();
                let of = if total > 0 { format!("/{total}") } else { String::new() };
                let metrics: String =
                    self.metrics.iter().map(|(name, value)| format!(", {name} {value:.4}")).collect();
                Some(format!("{done}{of} {unit}{metrics}"))
            }
            Event::Started { .. } | Event::Progress { .. } | Event::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_progress_with_the_newest_numbers_now_and_then() {
        let mut lines = Lines::new();
        let progress = |done| Event::Progress { done, total: 10, unit: "steps".into() };
        assert_eq!(lines.of(progress(1)), None);
        for value in [2.0, 1.5] {
            lines.of(Event::Metric { name: "loss".into(), step: 1, value });
        }
        let Some(earlier) = Instant::now().checked_sub(LINE_EVERY) else { return };
        lines.last = earlier;
        assert_eq!(lines.of(progress(2)).as_deref(), Some("2/10 steps, loss 1.5000"));
        assert_eq!(lines.of(progress(3)), None);
        assert_eq!(lines.of(Event::Finished { message: "done".into() }).as_deref(), Some("done"));
    }
}
