//! A task's templates, compiled, and what they make of a row.

use super::rows::Row;
use super::{Document, Request};
use crate::catalogue::{Form, Task};
use crate::error::Result;
use crate::template::{Compiled, CompiledExpression, Engine, Place, values};

/// A task's templates, compiled.
pub(super) struct Prompt<'a> {
    description: Option<Compiled<'a>>,
    form: CompiledForm<'a>,
    delimiter: &'a str,
    shot_delimiter: &'a str,
    shot_separator: &'a str,
}

enum CompiledForm<'a> {
    Choices {
        context: Compiled<'a>,
        choices: CompiledExpression<'a>,
        gold: CompiledExpression<'a>,
    },
    Contexts {
        contexts: CompiledExpression<'a>,
        continuation: Compiled<'a>,
        gold: CompiledExpression<'a>,
    },
    Continuation {
        context: Compiled<'a>,
        continuation: Compiled<'a>,
    },
}

impl<'a> Prompt<'a> {
    pub(super) fn new(task: &'a Task, engine: &'a Engine) -> Result<Self> {
        let form = match &task.prompt.form {
            Form::Choices { context, choices, gold } => CompiledForm::Choices {
                context: engine.template(context)?,
                choices: engine.expression(choices)?,
                gold: engine.expression(gold)?,
            },
            Form::Contexts {
                contexts,
                continuation,
                gold,
            } => CompiledForm::Contexts {
                contexts: engine.expression(contexts)?,
                continuation: engine.template(continuation)?,
                gold: engine.expression(gold)?,
            },
            Form::Continuation { context, continuation } => CompiledForm::Continuation {
                context: engine.template(context)?,
                continuation: engine.template(continuation)?,
            },
        };
        let description = task.prompt.description.as_ref();
        Ok(Self {
            description: description.map(|template| engine.template(template)).transpose()?,
            form,
            delimiter: &task.prompt.delimiter,
            shot_delimiter: &task.few_shot.delimiter,
            shot_separator: &task.few_shot.separator,
        })
    }

    /// A row of `split` as a few-shot example, its separator included.
    pub(super) fn example(&self, row: &Row, split: &str) -> Result<String> {
        let fields = values(&row.fields);
        let place = Place { split, row: row.number };
        let (context, answer) = match &self.form {
            CompiledForm::Choices { context, choices, gold } => {
                let mut choices = choices.texts(&fields, &place)?;
                let gold = gold.index(&fields, &place, choices.len())?;
                (context.render(&fields, &place)?, choices.swap_remove(gold))
            }
            CompiledForm::Contexts {
                contexts,
                continuation,
                gold,
            } => {
                let mut contexts = contexts.texts(&fields, &place)?;
                let gold = gold.index(&fields, &place, contexts.len())?;
                (contexts.swap_remove(gold), continuation.render(&fields, &place)?)
            }
            CompiledForm::Continuation { context, continuation } => {
                (context.render(&fields, &place)?, continuation.render(&fields, &place)?)
            }
        };
        Ok([context.as_str(), self.shot_delimiter, &answer, self.shot_separator].concat())
    }

    /// A row of `split` as a document whose contexts open with the examples.
    pub(super) fn document(&self, row: &Row, split: &str, group: Option<&str>, examples: &[&str]) -> Result<Document> {
        let fields = values(&row.fields);
        let place = Place { split, row: row.number };
        let mut before = match &self.description {
            Some(description) => description.render(&fields, &place)?,
            None => String::new(),
        };
        before.extend(examples.iter().copied());
        let request = |context: &str, continuation: &str| Request {
            context: [before.as_str(), context].concat(),
            continuation: [self.delimiter, continuation].concat(),
        };
        let (requests, gold, choices) = match &self.form {
            CompiledForm::Choices { context, choices, gold } => {
                let context = context.render(&fields, &place)?;
                let choices = choices.texts(&fields, &place)?;
                let gold = gold.index(&fields, &place, choices.len())?;
                let requests = choices.iter().map(|choice| request(&context, choice)).collect();
                (requests, Some(gold), choices)
            }
            CompiledForm::Contexts {
                contexts,
                continuation,
                gold,
            } => {
                let contexts = contexts.texts(&fields, &place)?;
                let continuation = continuation.render(&fields, &place)?;
                let gold = gold.index(&fields, &place, contexts.len())?;
                let requests = contexts.iter().map(|context| request(context, &continuation)).collect();
                (requests, Some(gold), contexts)
            }
            CompiledForm::Continuation { context, continuation } => {
                let context = context.render(&fields, &place)?;
                let continuation = continuation.render(&fields, &place)?;
                (vec![request(&context, &continuation)], None, Vec::new())
            }
        };
        Ok(Document {
            row: row.number,
            group: group.map(str::to_owned),
            fields: row.fields.clone(),
            requests,
            gold,
            choices,
        })
    }
}
