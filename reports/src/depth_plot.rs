//! Perplexity against effective depth as a picture: a line for each family of recipes, from the baseline on.

use prunebench_results::Record;

use crate::comparison::{Comparison, Group, method};
use crate::figure::{Axis, Dot, Dots, Figure, Look, Values};
use crate::plot::{Plot, PlotError};
use crate::statistics::COVERAGE;

const NAME: &str = "depth";

impl Comparison<'_> {
    /// The first perplexity against effective depth, a line for each of `families`: a recipe in its canonical form with one
    /// `*` in place of what varies. Each line starts at the baseline; ratios are on a logarithmic axis, with their intervals.
    ///
    /// # Errors
    /// No perplexity, a family without a `*`, or one of which no record succeeded.
    pub fn depth_plot(&self, families: &[String]) -> Result<Plot, PlotError> {
        match self.depth_figure(families)?.to_svg() {
            Ok(Some(svg)) => Ok(Plot {
                name: NAME.to_owned(),
                svg,
            }),
            Ok(None) => Err(PlotError::Empty { name: NAME.to_owned() }),
            Err(problem) => Err(PlotError::Drawing {
                name: NAME.to_owned(),
                problem,
            }),
        }
    }

    fn depth_figure(&self, families: &[String]) -> Result<Figure, PlotError> {
        let cell = &self.first().cell;
        let request = cell.evaluation.perplexity.first().ok_or(PlotError::NoPerplexity)?;
        let dot = |group: &Group| {
            let ratio = self.ratio(&group.records, 0)?;
            let depth = group.mean(|metrics| metrics.accounting.effective_depth as f64)?;
            Some(Dot {
                at: (depth, ratio.value),
                interval: ratio.interval.map(|ends| [ends.low, ends.high]),
                hollow: false,
                ringed: false,
                label: None,
            })
        };
        let dots = |wanted: &dyn Fn(&Record) -> bool| -> Vec<Dot> {
            let groups = self.groups.iter().filter(|group| wanted(group.first()));
            groups.filter_map(dot).collect()
        };
        let series = families.iter().enumerate().map(|(rank, family)| {
            let Some((before, behind)) = family.split_once('*') else {
                return Err(PlotError::NoFamily { family: family.clone() });
            };
            let is_of = |record: &Record| {
                let recipe = method(record);
                recipe.len() >= before.len() + behind.len() && recipe.starts_with(before) && recipe.ends_with(behind)
            };
            let mut of_family = dots(&is_of);
            if of_family.is_empty() {
                return Err(PlotError::NoRecord { family: family.clone() });
            }
            of_family.extend(dots(&|record| self.is_baseline(record)));
            of_family.sort_by(|a, b| b.at.0.total_cmp(&a.at.0));
            Ok(Dots {
                name: family.replace('*', "…"),
                look: Look::ranked(rank),
                dots: of_family,
            })
        });
        Ok(Figure {
            title: format!("{}, {}", cell.model, request.protocol),
            key: vec!["whiskers: over windows and seeds"],
            across: Axis {
                title: "effective depth".to_owned(),
                values: Values::Signed,
                ..Axis::default()
            },
            up: Axis {
                title: format!(
                    "perplexity, ratio to {} ({:.0} % interval)",
                    self.baseline.join(" + "),
                    100.0 * COVERAGE
                ),
                values: Values::Ratios,
                ..Axis::default()
            },
            series: series.collect::<Result<_, _>>()?,
            joined: true,
            ..Figure::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::tests::{baseline, dense, failed, record};

    fn records() -> Vec<Record> {
        let shallow = |recipe: &str, depth, nll| {
            let mut record = record(recipe, "candle", 1, nll);
            record.metrics.as_mut().unwrap().accounting.effective_depth = depth;
            record
        };
        vec![
            dense("candle"),
            shallow("prune(blocks=1)", 1, 3.5),
            shallow("prune(blocks=10)", 0, 4.0),
            shallow("prune(blocks=1, b=2)", 1, 3.2),
            failed("merge(blocks=1)", "candle", 1),
        ]
    }

    fn figure(family: &str) -> Result<Figure, PlotError> {
        let (records, baseline) = (records(), baseline());
        Comparison::new(&records, &baseline)
            .unwrap()
            .depth_figure(&[family.to_owned()])
    }

    #[test]
    fn a_line_has_the_baseline_and_the_recipes_of_its_family_by_falling_depth() {
        let figure_of_all = figure("prune(blocks=*)").unwrap();
        let points: Vec<(f64, f64)> = figure_of_all.series[0].dots.iter().map(|dot| dot.at).collect();
        let ratio = |nll: f64| (nll - 3.0).exp();
        let wanted = [(4.0, 1.0), (1.0, ratio(3.5)), (1.0, ratio(3.2)), (0.0, ratio(4.0))];
        assert_eq!(points.len(), wanted.len());
        for (point, wanted) in points.iter().zip(wanted) {
            assert!(point.0 == wanted.0 && (point.1 - wanted.1).abs() < 1e-9, "{points:?}");
        }
        assert_eq!(figure("prune(blocks=*, b=2)").unwrap().series[0].dots.len(), 2);
        let svg = figure_of_all.to_svg().unwrap().unwrap();
        for part in ["effective depth", "prune(blocks=…)", "ratio to dense", "</svg>"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn a_family_without_a_star_or_a_successful_record_is_an_error() {
        let error = |family: &str| figure(family).unwrap_err().to_string();
        assert!(error("prune(blocks=1)").contains("no `*`"));
        assert!(error("merge(blocks=*)").contains("`merge(blocks=*)`"));
    }
}
