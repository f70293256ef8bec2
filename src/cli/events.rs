//! Events of a task on a terminal: a progress bar and warnings on stderr, or JSON lines on stdout.

use indicatif::{ProgressBar, ProgressStyle};

use super::print_line;
use crate::progress::{Event, Reporter};

/// Where a command's events go.
pub fn reporter(json: bool) -> Reporter {
    if json {
        return Reporter::new(|event| {
            if let Ok(line) = serde_json::to_string(&event) {
                print_line(&line);
            }
        });
    }
    // Hidden by itself where stderr is no terminal.
    let bar = ProgressBar::new(0);
    bar.set_style(style("{spinner} {msg}"));
    Reporter::new(move |event| show(&bar, event))
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
