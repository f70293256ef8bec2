//! A form made from a command's own description: names, help and defaults come from the struct that the command line
//! parses, and what is typed is checked by the same parser.

use std::collections::BTreeMap;

use bevy_egui::egui::{self, RichText, Ui};
use clap::{ArgAction, Command};

use super::weak;
use crate::app::theme;

/// One option of the command.
struct Field {
    id: String,
    flag: Option<String>,
    help: String,
    default: String,
    choices: Vec<String>,
    is_switch: bool,
}

/// What was typed so far.
pub struct Form {
    pub title: String,
    fields: Vec<Field>,
    values: BTreeMap<String, String>,
    switches: BTreeMap<String, bool>,
    /// What the parser said about the last attempt.
    pub error: Option<String>,
}

impl Form {
    pub fn new(mut command: Command) -> Self {
        command.build();
        let fields: Vec<Field> = command
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
            .filter(|argument| !argument.is_hide_set())
            .map(|argument| Field {
                id: argument.get_id().to_string(),
                flag: argument.get_long().map(|long| format!("--{long}")),
                help: argument.get_help().map(ToString::to_string).unwrap_or_default(),
                default: argument
                    .get_default_values()
                    .iter()
                    .map(|value| value.to_string_lossy().into_owned())
                    .collect::<Vec<_>>()
                    .join(" "),
                choices: argument
                    .get_possible_values()
                    .iter()
                    .map(|value| value.get_name().to_owned())
                    .collect(),
                is_switch: matches!(argument.get_action(), ArgAction::SetTrue | ArgAction::SetFalse),
            })
            .collect();
        let about = command.get_about().map(ToString::to_string);
        let title = about.unwrap_or_else(|| command.get_name().to_owned());
        Self { title, fields, values: BTreeMap::new(), switches: BTreeMap::new(), error: None }
    }

    pub fn ui(&mut self, ui: &mut Ui) {
        egui::Grid::new("form").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            for field in &self.fields {
                let name = field.id.replace(['_', '-'], " ");
                let label = ui.label(name).on_hover_text(&field.help);
                if field.is_switch {
                    let on = self.switches.entry(field.id.clone()).or_default();
                    ui.checkbox(on, "").labelled_by(label.id).on_hover_text(&field.help);
                } else if field.choices.is_empty() {
                    let value = self.values.entry(field.id.clone()).or_default();
                    let edit = egui::TextEdit::singleline(value)
                        .hint_text(weak(&field.default))
                        .desired_width(220.0);
                    ui.add(edit).labelled_by(label.id).on_hover_text(&field.help);
                } else {
                    let value = self.values.entry(field.id.clone()).or_insert_with(|| field.default.clone());
                    egui::ComboBox::from_id_salt(&field.id).selected_text(value.as_str()).show_ui(ui, |ui| {
                        for choice in &field.choices {
                            ui.selectable_value(value, choice.clone(), choice);
                        }
                    });
                }
                ui.end_row();
            }
        });
        if let Some(error) = &self.error {
            ui.add_space(4.0);
            ui.label(RichText::new(error).color(theme::ERROR).size(12.0));
        }
    }

    /// What the command line would be; options left empty keep their defaults.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut positional = Vec::new();
        for field in &self.fields {
            if field.is_switch {
                if self.switches.get(&field.id).copied().unwrap_or(false) {
                    arguments.extend(field.flag.clone());
                }
                continue;
            }
            let value = self.values.get(&field.id).map(|value| value.trim()).unwrap_or_default();
            if value.is_empty() || value == field.default {
                continue;
            }
            match &field.flag {
                Some(flag) => arguments.push(format!("{flag}={value}")),
                None => positional.push(value.to_owned()),
            }
        }
        arguments.extend(positional);
        arguments
    }

    /// Types into a field, as a test does.
    pub fn set(&mut self, id: &str, value: &str) {
        self.values.insert(id.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    #[derive(Args, Debug, PartialEq)]
    struct Config {
        /// How many steps
        #[arg(long, default_value_t = 100)]
        steps: u32,
        /// Where to write
        #[arg(long, default_value = "out")]
        out: String,
        /// Starts from what is there
        #[arg(long)]
        resume: bool,
    }

    #[test]
    fn a_form_gives_the_same_struct_as_the_command_line() {
        let command = || Config::augment_args(Command::new("train"));
        let mut form = Form::new(command());
        assert!(form.arguments().is_empty());
        form.set("steps", "7");
        form.switches.insert("resume".to_owned(), true);
        let line = std::iter::once("train".to_owned()).chain(form.arguments());
        let matches = command().try_get_matches_from(line).expect("parses");
        let config = Config::from_arg_matches(&matches).expect("fits");
        assert_eq!(config, Config { steps: 7, out: "out".to_owned(), resume: true });

        form.set("steps", "many");
        let line = std::iter::once("train".to_owned()).chain(form.arguments());
        assert!(command().try_get_matches_from(line).is_err());
    }
}
