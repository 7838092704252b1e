//! Perplexity against effective depth as a picture: a line for each family of recipes, from the baseline on.

use plotters::coord::Shift;
use plotters::prelude::*;
use prunebench_results::Record;

use crate::comparison::{Comparison, Group, method};
use crate::statistics::{COVERAGE, Interval};

const SIZE: (u32, u32) = (900, 560);
/// The colours of Okabe and Ito, which colour-blind readers can tell apart, the yellow left out.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Ratios of a perplexity to the baseline's at effective depths.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthPlot {
    title: String,
    value: String,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    /// By falling depth.
    points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    depth: f64,
    ratio: f64,
    interval: Option<Interval>,
}

impl Comparison<'_> {
    /// The first perplexity against effective depth, a line for each of `families`: a recipe in its canonical form with one
    /// `*` in place of what varies. Each line starts at the baseline.
    ///
    /// # Errors
    /// No perplexity, a family without a `*`, or one of which no record succeeded.
    pub fn depth_plot(&self, families: &[String]) -> Result<DepthPlot, String> {
        let cell = &self.first().cell;
        let Some(request) = cell.evaluation.perplexity.first() else {
            return Err("there is no perplexity to draw; measure one".to_owned());
        };
        let point = |group: &Group| {
            let ratio = self.ratio(&group.records, 0)?;
            Some(Point {
                depth: group.mean(|metrics| metrics.accounting.effective_depth as f64)?,
                ratio: ratio.value,
                interval: ratio.interval,
            })
        };
        let points = |wanted: &dyn Fn(&Record) -> bool| -> Vec<Point> {
            let groups = self.groups.iter().filter(|group| wanted(group.first()));
            groups.filter_map(point).collect()
        };
        let lines = families.iter().map(|family| {
            let Some((before, behind)) = family.split_once('*') else {
                return Err(format!("`{family}` has no `*` in place of what varies"));
            };
            let is_of = |record: &Record| {
                let recipe = method(record);
                recipe.len() >= before.len() + behind.len() && recipe.starts_with(before) && recipe.ends_with(behind)
            };
            let mut points_of_family = points(&is_of);
            if points_of_family.is_empty() {
                return Err(format!(
                    "no successful record is `{family}`; recipes are spelt as in the table, with a single `*`"
                ));
            }
            points_of_family.extend(points(&|record| self.is_baseline(record)));
            points_of_family.sort_by(|a, b| b.depth.total_cmp(&a.depth));
            Ok(Line {
                name: family.replace('*', "…"),
                points: points_of_family,
            })
        });
        Ok(DepthPlot {
            title: format!("{}, {}", cell.model, request.protocol),
            value: format!("perplexity, ratio to {}", self.baseline.join(" + ")),
            lines: lines.collect::<Result<_, _>>()?,
        })
    }
}

impl DepthPlot {
    /// The picture as SVG: ratios on a logarithmic axis with their intervals.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn to_svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            self.draw(&root).map_err(|error| error.to_string())?;
            root.present().map_err(|error| error.to_string())?;
        }
        Ok(svg)
    }

    fn draw(&self, root: &DrawingArea<SVGBackend, Shift>) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        root.fill(&WHITE)?;
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let ends = |of: fn(&Point) -> f64| {
            let values = all().map(of).filter(|value| value.is_finite());
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (shallowest, deepest) = ends(|point| point.depth);
        let (_, largest) = ends(|point| point.interval.map_or(point.ratio, |interval| interval.high));
        let mut chart = ChartBuilder::on(root)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(
                shallowest - 0.5..deepest + 0.5,
                (0.9..largest.max(2.0) * 1.1).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_desc("effective depth")
            .y_desc(format!("{} ({:.0} % interval)", self.value, 100.0 * COVERAGE))
            .x_labels((deepest - shallowest) as usize + 2)
            .x_label_formatter(&|depth| format!("{depth:.0}"))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let at = |point: &Point| (point.depth, point.ratio);
            let drawn = || line.points.iter().filter(|point| point.ratio.is_finite());
            chart
                .draw_series(LineSeries::new(drawn().map(at), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            chart.draw_series(drawn().map(|point| Circle::new(at(point), 3, colour.filled())))?;
            let bars = drawn().filter_map(|point| {
                let Interval { low, high } = point.interval?;
                Some(PathElement::new([(point.depth, low), (point.depth, high)], *colour))
            });
            chart.draw_series(bars)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
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

    fn plot(family: &str) -> Result<DepthPlot, String> {
        let (records, baseline) = (records(), baseline());
        Comparison::new(&records, &baseline)
            .unwrap()
            .depth_plot(&[family.to_owned()])
    }

    #[test]
    fn a_line_has_the_baseline_and_the_recipes_of_its_family_by_falling_depth() {
        let plot = plot("prune(blocks=*)").unwrap();
        let points: Vec<(f64, f64)> = plot.lines[0].points.iter().map(|p| (p.depth, p.ratio)).collect();
        let ratio = |nll: f64| (nll - 3.0).exp();
        let wanted = [(4.0, 1.0), (1.0, ratio(3.5)), (1.0, ratio(3.2)), (0.0, ratio(4.0))];
        assert_eq!(points.len(), wanted.len());
        for (point, wanted) in points.iter().zip(wanted) {
            assert!(point.0 == wanted.0 && (point.1 - wanted.1).abs() < 1e-9, "{points:?}");
        }
        assert_eq!(
            super::tests::plot("prune(blocks=*, b=2)").unwrap().lines[0]
                .points
                .len(),
            2
        );
        let svg = plot.to_svg().unwrap();
        for part in ["effective depth", "prune(blocks=…)", "ratio to dense", "</svg>"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn a_family_without_a_star_or_a_successful_record_is_an_error() {
        assert!(plot("prune(blocks=1)").unwrap_err().contains("no `*`"));
        assert!(plot("merge(blocks=*)").unwrap_err().contains("`merge(blocks=*)`"));
    }
}
