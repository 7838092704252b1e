//! Tables as CSV: unrounded, for programs.

use super::{Entry, Table};
use crate::statistics::Interval;

impl Table {
    /// A header and a line for each row: for each column its numbers unrounded, then where the column has them its spread
    /// (`HEADER ±`), the ends of its interval (`HEADER low`, `HEADER high`) and its items without a number (`HEADER NaN items`);
    /// first what the rows of a part have in common, if the table is in parts; last the keys of the row's records, with spaces
    /// between them.
    ///
    /// # Errors
    /// If the text can't be made.
    pub fn to_csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let columns: Vec<Vec<Part>> = (0..self.columns.len()).map(|column| self.parts(column)).collect();
        let mut header = Vec::new();
        if !self.headings.is_empty() {
            header.push("part".to_owned());
        }
        for (column, parts) in self.columns.iter().zip(&columns) {
            header.extend(parts.iter().map(|part| format!("{}{}", column.header, part.suffix())));
        }
        let with_records = !self.sources.is_empty();
        if with_records {
            header.push("records".to_owned());
        }
        writer.write_record(&header)?;
        let mut heading = "";
        for (row, entries) in self.rows.iter().enumerate() {
            heading = self.heading(row).unwrap_or(heading);
            let mut line = Vec::new();
            if !self.headings.is_empty() {
                line.push(heading.to_owned());
            }
            for (entry, parts) in entries.iter().zip(&columns) {
                line.extend(parts.iter().map(|part| part.of(entry).unwrap_or_default()));
            }
            if with_records {
                let keys: Vec<String> = self.keys(row).iter().map(ToString::to_string).collect();
                line.push(keys.join(" "));
            }
            writer.write_record(&line)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What any entry of a column has.
    fn parts(&self, column: usize) -> Vec<Part> {
        let has = |part: &Part| {
            let mut rows = self.rows.iter();
            *part == Part::Value || rows.any(|row| part.of(&row[column]).is_some())
        };
        let all = [Part::Value, Part::Spread, Part::Low, Part::High, Part::NanItems];
        all.into_iter().filter(has).collect()
    }
}

/// A part of an entry, which has a column of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    Spread,
    Low,
    High,
    NanItems,
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Spread => " ±",
            Self::Low => " low",
            Self::High => " high",
            Self::NanItems => " NaN items",
        }
    }

    fn of(self, entry: &Entry) -> Option<String> {
        let end = |end: fn(&Interval) -> f64, interval: &Option<Interval>| interval.as_ref().map(end);
        let number = match (self, entry) {
            (Self::Value, Entry::Text(text)) => return Some(text.clone()),
            (Self::Value, Entry::Count(count)) => return Some(count.to_string()),
            (Self::NanItems, Entry::Fraction { nan_items, .. }) => {
                return (*nan_items > 0).then(|| nan_items.to_string());
            }
            (Self::Value, Entry::Share(value)) => Some(*value),
            (
                Self::Value,
                Entry::Number { value, .. }
                | Entry::Ratio { value, .. }
                | Entry::Fraction { value, .. }
                | Entry::Difference { value, .. },
            ) => Some(*value),
            (Self::Spread, Entry::Number { spread, .. } | Entry::Fraction { spread, .. }) => *spread,
            (Self::Low, Entry::Ratio { interval, .. } | Entry::Difference { interval, .. }) => {
                end(|interval| interval.low, interval)
            }
            (Self::High, Entry::Ratio { interval, .. } | Entry::Difference { interval, .. }) => {
                end(|interval| interval.high, interval)
            }
            _ => None,
        };
        number.map(|number| number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::marked;
    use super::*;

    #[test]
    fn numbers_are_unrounded_each_in_a_column_of_its_own() {
        let mut table = marked();
        table.rows[2][1] = Entry::Ratio {
            value: 1.23456789,
            interval: Some(Interval { low: 1.0, high: 2.5 }),
        };
        let (wanda, dense) = ("a".repeat(64), "b".repeat(64));
        let expected = format!(
            "part,method,perplexity,perplexity ±,perplexity low,perplexity high,records\n\
             tiny,wanda,2.5,0.1,,,{wanda} {dense}\n\
             tiny,random & <b>,3,,,,\n\
             100 %_large,dense,1.23456789,,1,2.5,\n"
        );
        assert_eq!(table.to_csv().unwrap(), expected);
    }
}
