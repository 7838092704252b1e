//! Points and lines, drawn.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Drawn, GRID, INK, LETTER, QUIET, Root, SMALL, TEXT, TITLE, cut, svg, write};
use super::scale::{self, Scale};
use super::{Axis, Dot, Figure, Values};
use crate::quantity::Better;

const SIZE: (u32, u32) = (1000, 600);
/// The legend's width, and the height of a line of it.
const LEGEND: u32 = 250;
const LINE: i32 = 20;
/// Pixels above the frame for the titles, below and left of it for numbers and names, and right of it.
const MARGIN: [u32; 4] = [58, 52, 82, 16];
/// Pixels beside the name of the axis on the left, which is turned.
const EDGE: i32 = 10;
/// Names at an axis, at most, and their letters.
const NAMES: usize = 6;
const LETTERS: usize = 16;
/// Radius of a ring.
const RING: i32 = 9;

impl Figure {
    /// The picture; `None` if there is nothing finite to draw.
    ///
    /// # Errors
    /// What the drawing library says.
    pub(crate) fn to_svg(&self) -> Result<Option<String>, String> {
        let [top, below, left, right] = MARGIN;
        let (width, height) = (SIZE.0 - LEGEND - left - right, SIZE.1 - top - below);
        let dots = || self.series.iter().flat_map(|series| &series.dots);
        let across = match self.across.names.len() {
            0 => Scale::new(dots().map(|dot| dot.at.0), self.across.values, width),
            names => Some(Scale::of_names(names, NAMES)),
        };
        let up = Scale::new(self.reach().into_iter(), self.up.values, height);
        let (Some(across), Some(up)) = (across, up) else {
            return Ok(None);
        };
        svg(SIZE, |root| self.draw(root, across, up)).map(Some)
    }

    /// All heights, and the ends of whiskers that are not far beyond them.
    fn reach(&self) -> Vec<f64> {
        let dots = || self.series.iter().flat_map(|series| &series.dots);
        let mut heights: Vec<f64> = dots().map(|dot| dot.at.1).filter(|y| y.is_finite()).collect();
        let (low, high) = heights
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
                (low.min(*y), high.max(*y))
            });
        let beyond = scale::REACH * (high - low);
        let ends = dots().filter_map(|dot| dot.interval).flatten();
        let near = ends.filter(|end| {
            (low - beyond..=high + beyond).contains(end)
                && (self.up.values == Values::Signed || *end > 0.0 || low <= 0.0)
        });
        heights.extend(near);
        heights
    }

    fn draw(&self, root: &Root, across: Scale, up: Scale) -> Drawn {
        let [top, below, left, right] = MARGIN.map(|pixels| pixels as i32);
        let all = SIZE.0 as f64 - f64::from(left);
        write(
            root,
            &cut(&self.title, (all / 8.6) as usize),
            (left, 18),
            TITLE,
            INK,
            HPos::Left,
        )?;
        write(
            root,
            &cut(&self.remark, (all / LETTER) as usize),
            (left, 40),
            SMALL,
            QUIET,
            HPos::Left,
        )?;
        let area = root.margin(top, 0, EDGE, LEGEND as i32 + right);
        let axis = |axis: &Axis, scale: &Scale, room: i32| {
            let log = if scale.log { ", log" } else { "" };
            let better = match axis.better {
                Some(Better::Lower) => ", ← better",
                Some(Better::Higher) => ", → better",
                None => "",
            };
            cut(
                &format!("{}{log}{better}", axis.title),
                (f64::from(room) / LETTER) as usize,
            )
        };
        let (width, height) = (
            SIZE.0 as i32 - LEGEND as i32 - left - right,
            SIZE.1 as i32 - top - below,
        );
        let titles = [axis(&self.across, &across, width), axis(&self.up, &up, height)];
        let text = |size: i32, colour: RGBColor| ("sans-serif", size).into_font().color(&colour);
        let names = |x: &f64| match self.across.names.get(*x as usize) {
            Some(name) => cut(name.strip_prefix("model.").unwrap_or(name), LETTERS),
            None => String::new(),
        };
        let numbers = |value: &f64| <Scale as plotters::coord::ranged1d::ValueFormatter<f64>>::format(value);
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(below)
            .y_label_area_size(left - EDGE)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .x_label_formatter(if self.across.names.is_empty() { &numbers } else { &names })
            .y_label_formatter(&numbers)
            .x_desc(&titles[0])
            .y_desc(&titles[1])
            .label_style(text(SMALL, QUIET))
            .axis_desc_style(text(TEXT, INK))
            .axis_style(QUIET)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let pixels = |x: f64, y: f64| chart.backend_coord(&(x, y));
        let heights = chart.y_range();
        for pair in self.front.windows(2) {
            let ends = [pixels(pair[0].0, pair[0].1), pixels(pair[1].0, pair[1].1)];
            root.draw(&DashedPathElement::new(ends, 5, 4, INK.mix(0.65)))?;
        }
        let finite = |dot: &&Dot| dot.at.0.is_finite() && dot.at.1.is_finite();
        let (mut taken, mut marks) = (Vec::new(), Vec::new());
        for series in &self.series {
            let colour = series.look.colour();
            let dots = series.dots.iter().filter(finite);
            let placed: Vec<(&Dot, (i32, i32))> = dots.map(|dot| (dot, pixels(dot.at.0, dot.at.1))).collect();
            if self.joined {
                let places: Vec<(i32, i32)> = placed.iter().map(|(_, place)| *place).collect();
                root.draw(&PathElement::new(places, colour.stroke_width(2)))?;
            }
            for (dot, (x, y)) in placed {
                if let Some(ends) = dot.interval {
                    let [low, high] = ends.map(|end| pixels(dot.at.0, end).1);
                    root.draw(&PathElement::new([(x, low), (x, high)], colour.mix(0.55)))?;
                    // A whisker that is cut at the frame points beyond it.
                    for end in ends {
                        let y = pixels(dot.at.0, end).1;
                        let tip = match end {
                            end if end > heights.end => [(x - 3, y + 5), (x, y), (x + 3, y + 5)],
                            end if end < heights.start => [(x - 3, y - 5), (x, y), (x + 3, y - 5)],
                            _ => [(x - 3, y), (x, y), (x + 3, y)],
                        };
                        root.draw(&PathElement::new(tip, colour.mix(0.55)))?;
                    }
                }
                let reach = if dot.ringed { RING } else { 6 };
                taken.push([x - reach, y - reach, x + reach, y + reach]);
                marks.push(((x, y), series.look, dot));
            }
        }
        // The ringed ones last, so that nothing covers them.
        marks.sort_by_key(|(.., dot)| dot.ringed);
        for (place, look, dot) in marks {
            look.draw(root, place, dot.hollow)?;
            if dot.ringed {
                root.draw(&Circle::new(place, RING, INK.stroke_width(1)))?;
            }
        }
        let frame = [left, top, SIZE.0 as i32 - LEGEND as i32 - right, SIZE.1 as i32 - below];
        for dot in self.series.iter().flat_map(|series| &series.dots).filter(finite) {
            let Some(label) = &dot.label else { continue };
            let text = cut(label, 34);
            let Some(at) = free(pixels(dot.at.0, dot.at.1), &text, frame, &mut taken) else {
                continue;
            };
            write(root, &text, at, SMALL, INK, HPos::Left)?;
        }
        self.legend(root)
    }

    fn legend(&self, root: &Root) -> Drawn {
        let left = (SIZE.0 - LEGEND) as i32 + 14;
        let bottom = (SIZE.1 - MARGIN[1]) as i32;
        for (line, text) in (1..).zip(self.key.iter().rev()) {
            write(root, text, (left - 6, bottom - line * LINE), SMALL, QUIET, HPos::Left)?;
        }
        for (line, series) in (0..).zip(&self.series) {
            let y = MARGIN[0] as i32 + 8 + line * LINE;
            series.look.draw(root, (left, y), false)?;
            write(root, &cut(&series.name, 31), (left + 14, y), SMALL, INK, HPos::Left)?;
        }
        Ok(())
    }
}

/// Where a point's name meets nothing else, if anywhere, which is then taken.
fn free((x, y): (i32, i32), text: &str, frame: [i32; 4], taken: &mut Vec<[i32; 4]>) -> Option<(i32, i32)> {
    let wide = (text.chars().count() as f64 * LETTER) as i32;
    let places = [
        (x + 12, y),
        (x - 12 - wide, y),
        (x - wide / 2, y - 19),
        (x - wide / 2, y + 19),
    ];
    let found = places.into_iter().find(|(left, middle)| {
        let (right, top, bottom) = (left + wide, middle - 8, middle + 8);
        let inside = *left > frame[0] && right < frame[2] && top > frame[1] && bottom < frame[3];
        inside
            && taken
                .iter()
                .all(|[a, b, c, d]| *a > right || c < left || *b > bottom || *d < top)
    })?;
    taken.push([found.0, found.1 - 8, found.0 + wide, found.1 + 8]);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Dots, Look};
    use super::*;

    fn dot(x: f64, y: f64, label: &str) -> Dot {
        Dot {
            at: (x, y),
            interval: Some([y - 0.5, y + 0.5]),
            hollow: true,
            ringed: false,
            label: (!label.is_empty()).then(|| label.to_owned()),
        }
    }

    fn figure(dots: Vec<Dot>) -> Figure {
        let series = Dots {
            name: "<wanda> & \"co\"".to_owned(),
            look: Look::ranked(0),
            dots,
        };
        Figure {
            title: "tiny</svg><script>alert(1)</script>".to_owned(),
            up: Axis {
                title: "perplexity".to_owned(),
                better: Some(Better::Lower),
                ..Axis::default()
            },
            series: vec![series],
            ..Figure::default()
        }
    }

    #[test]
    fn names_are_text_whatever_they_hold() {
        let svg = figure(vec![dot(1.0, 2.0, "a\u{1}b"), dot(2.0, 4.0, "")])
            .to_svg()
            .unwrap()
            .unwrap();
        assert!(!svg.contains("<script") && svg.matches("</svg>").count() == 1, "{svg}");
        for part in [
            "&lt;wanda&gt; &amp; &quot;co&quot;",
            "perplexity, ← better",
            "a\u{fffd}b",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_nothing_else_is_no_picture() {
        let svg = figure(vec![dot(1.0, 2.0, ""), dot(2.0, f64::INFINITY, "")])
            .to_svg()
            .unwrap()
            .unwrap();
        // A mark and one in the legend, each with its outline.
        assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(figure(vec![dot(1.0, f64::NAN, "")]).to_svg(), Ok(None));
    }

    #[test]
    fn a_whisker_that_is_cut_at_the_frame_points_beyond_it() {
        let tip = |low: f64| {
            let mut dots = vec![dot(1.0, 2.0, ""), dot(2.0, 4.0, "")];
            dots[0].interval = Some([low, 2.5]);
            let svg = figure(dots).to_svg().unwrap().unwrap();
            // Of each dot the whisker and its two ends, the lower one first.
            let lines = svg.lines().filter(|line| line.contains("opacity=\"0.55\""));
            let lines: Vec<&str> = lines.collect();
            assert_eq!(lines.len(), 6, "{svg}");
            let (_, points) = lines[1].split_once("points=\"").unwrap();
            let points = points.split_once('"').unwrap().0.split_whitespace();
            let heights = points.map(|point| point.split_once(',').unwrap().1.parse().unwrap());
            heights.collect::<Vec<i32>>()
        };
        let [left, middle, right] = tip(1.5)[..] else { panic!() };
        assert!(left == middle && middle == right);
        for low in [-100.0, f64::NEG_INFINITY] {
            let [left, middle, right] = tip(low)[..] else { panic!() };
            assert!(left == right && middle == left + 5, "{low}: {left} {middle}");
        }
    }

    #[test]
    fn names_of_points_never_run_into_one_another() {
        let mut taken = vec![[94, 94, 106, 106]];
        let frame = [0, 0, 400, 400];
        let places: Vec<_> = (0..6)
            .map(|_| free((100, 100), "a recipe", frame, &mut taken))
            .collect();
        assert_eq!(places.iter().flatten().count(), 4);
        assert_eq!(places[4], None);
    }
}
