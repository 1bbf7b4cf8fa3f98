//! Step reports → the loss curve: a picture that grows while training runs.

use serde_json::Value;

use crate::display::output::{Show, last_expression};
use crate::display::picture::{BLUE, BOTTOM, CHART, DARK, GREY, LEFT, ORANGE, Picture, RIGHT, Shape, ValueAxis, round_step};
use crate::train::report::StepReport;

/// The state of a run as a picture: progress, speed, and the curve of training and evaluation loss.
#[derive(Debug, Clone)]
pub struct LossCurve {
    /// All steps so far.
    pub history: Vec<StepReport>,
    /// Steps of the whole run.
    pub total_steps: usize,
}

/// Below the two lines of words.
const TOP: f64 = 54.0;
const TRAINING: u32 = ORANGE;
const EVALUATION: u32 = BLUE;

impl LossCurve {
    /// Where the run is, and how it goes: the two lines above the curve.
    fn headlines(&self) -> [String; 2] {
        let Some(last) = self.history.last() else { return ["no step yet".into(), String::new()] };
        let (tokens, seconds) =
            self.history.iter().fold((0, 0.0), |(tokens, seconds), step| (tokens + step.tokens, seconds + step.seconds));
        let left = seconds / last.step.max(1) as f64 * self.total_steps.saturating_sub(last.step) as f64;
        let loss = self.smooth().last().copied().unwrap_or(last.loss);
        let eval = self.history.iter().rev().find_map(|step| step.eval_loss).map(|loss| format!(" · eval {loss:.4}"));
        let time = if left >= 0.5 { format!("{} left", duration(left)) } else { duration(seconds) };
        [
            format!("step {}/{} · epoch {:.2} · loss {loss:.4}{}", last.step, self.total_steps, last.epoch, eval.unwrap_or_default()),
            format!(
                "{:.0} tokens/s · {time} · gradient {:.2} · learning rate {}",
                tokens as f64 / seconds.max(1e-9),
                last.grad_norm,
                if last.learning_rate == 0.0 { "0".to_string() } else { format!("{:.1e}", last.learning_rate) }
            ),
        ]
    }

    pub(crate) fn headline(&self) -> String {
        let [first, second] = self.headlines();
        if second.is_empty() { first } else { format!("{first} · {second}") }
    }

    /// The losses averaged over a few steps, so that the eye sees the trend.
    fn smooth(&self) -> Vec<f64> {
        let window = (self.history.len() / 40).max(1);
        let mean = |end: usize| {
            let part = &self.history[end.saturating_sub(window - 1)..=end];
            part.iter().map(|step| step.loss).sum::<f64>() / part.len() as f64
        };
        (0..self.history.len()).map(mean).collect()
    }

    /// The picture as SVG; works on light and dark pages.
    pub fn svg(&self) -> String {
        self.picture().svg()
    }

    /// The picture as a PNG file, for viewers that draw no SVG.
    #[cfg(feature = "plot")]
    pub fn png(&self) -> Vec<u8> {
        self.picture().png()
    }

    pub(crate) fn picture(&self) -> Picture {
        Picture { label: self.headline(), size: CHART, shapes: self.shapes() }
    }

    /// What the picture consists of, in the order of drawing.
    fn shapes(&self) -> Vec<Shape> {
        let smooth = self.smooth();
        let evals: Vec<(usize, f64)> = self.history.iter().filter_map(|step| step.eval_loss.map(|loss| (step.step, loss))).collect();
        let values = || smooth.iter().copied().chain(evals.iter().map(|(_, loss)| *loss));
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let low = values().fold(f64::INFINITY, f64::min);
        let (low, high) = if high > low { (low, high) } else { (low.min(0.0) - 0.5, high.max(0.0) + 0.5) };
        let axis = ValueAxis::new(low, high, TOP);
        let x = |step: usize| LEFT + (RIGHT - LEFT) * step as f64 / self.total_steps.max(1) as f64;
        let [first, second] = self.headlines();
        let mut shapes = vec![Shape::words(16.0, 22.0, 0.0, first, DARK), Shape::words(16.0, 38.0, 0.0, second, GREY)];
        shapes.extend(axis.shapes());
        for step in round_steps(self.total_steps) {
            shapes.push(Shape::words(x(step), BOTTOM + 16.0, 0.5, step.to_string(), GREY));
        }
        // A picture has few columns; more points than that only make it heavy.
        let stride = (self.history.len() / 300).max(1);
        let points = self.history.iter().zip(&smooth).step_by(stride).map(|(step, loss)| (x(step.step), axis.y(*loss))).collect();
        shapes.push(Shape::Line { points, colour: TRAINING, width: 2.0 });
        let points: Vec<(f64, f64)> = evals.iter().map(|(step, loss)| (x(*step), axis.y(*loss))).collect();
        shapes.extend((points.len() > 1).then(|| Shape::Line { points: points.clone(), colour: EVALUATION, width: 2.0 }));
        shapes.extend(points.iter().map(|&(x, y)| Shape::Disc { x, y, colour: EVALUATION }));
        if !smooth.is_empty() {
            shapes.push(Shape::words(LEFT, BOTTOM + 32.0, 0.0, "training loss", TRAINING));
        }
        if !evals.is_empty() {
            shapes.push(Shape::words(LEFT + 100.0, BOTTOM + 32.0, 0.0, "evaluation loss", EVALUATION));
        }
        shapes.push(Shape::words(RIGHT, BOTTOM + 32.0, 1.0, "step", GREY));
        shapes
    }
}

/// About five round numbers of steps of a run, 0 the first.
fn round_steps(total: usize) -> Vec<usize> {
    let step = round_step(total as f64 / 5.0).max(1.0) as usize;
    (0..=total).step_by(step).collect()
}

/// Seconds as `50 s`, `4 min 10 s` or `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        short @ ..100 => format!("{short} s"),
        middle @ ..6000 => format!("{} min {} s", middle / 60, middle % 60),
        long => format!("{} h {} min", long / 3600, long / 60 % 60),
    }
}

impl Show for LossCurve {
    fn text(&self) -> String {
        self.headline()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.picture().forms()
    }
}

last_expression!(LossCurve);

#[cfg(all(test, feature = "plot"))]
mod tests {
    use super::*;
    use crate::display::picture::{PALE, round_ticks};
    use crate::display::raster::tests::decode;

    fn history() -> Vec<StepReport> {
        let report = |step: usize| StepReport {
            step,
            loss: 4.0 - step as f64 * 0.03,
            eval_loss: step.is_multiple_of(50).then_some(2.0),
            ..Default::default()
        };
        (1..=100).map(report).collect()
    }

    #[test]
    fn the_axes_have_round_numbers() {
        let texts =
            |(ticks, decimals): (Vec<f64>, usize)| ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(round_ticks(0.21, 3.28)), "0 1 2 3 4");
        assert_eq!(texts(round_ticks(2.9712, 3.0021)), "2.97 2.98 2.99 3.00 3.01");
        assert_eq!(texts(round_ticks(0.0, 0.004)), "0.000 0.001 0.002 0.003 0.004");
        assert_eq!(texts(round_ticks(1.0, 376.0)), "0 100 200 300 400");
        assert_eq!(round_steps(1164), [0, 500, 1000]);
        assert_eq!(round_steps(500), [0, 100, 200, 300, 400, 500]);
        assert_eq!((round_steps(3), round_steps(0)), (vec![0, 1, 2, 3], vec![0]));
    }

    #[test]
    fn only_series_that_are_there_have_a_name() {
        let named = |history: Vec<StepReport>| {
            let svg = LossCurve { history, total_steps: 100 }.svg();
            ["training loss", "evaluation loss"].map(|name| svg.contains(name))
        };
        assert_eq!(named(history()), [true, true]);
        assert_eq!(named(history()[..10].to_vec()), [true, false]);
        assert_eq!(named(Vec::new()), [false, false]);
    }

    #[test]
    fn the_png_holds_the_curve() {
        let curve = LossCurve { history: history(), total_steps: 100 };
        let (width, height, dots) = decode(&curve.png());
        assert_eq!((width as f64, height as f64), CHART);
        // The points of both lines, as the SVG has them.
        for shape in curve.shapes() {
            let Shape::Line { points, colour, .. } = shape else { continue };
            for (x, y) in points.iter().filter(|(x, _)| (LEFT..RIGHT).contains(x)) {
                let near = |dx: usize, dy: usize| dots[(*y as usize + dy - 1) * width + *x as usize + dx - 1];
                let found = |colour: u32| (0..9).any(|place| near(place % 3, place / 3) == colour);
                // The grid lies under the curve, and the curve under the evaluations.
                let under = colour == PALE || (colour == TRAINING && found(EVALUATION));
                assert!(found(colour) || under, "{colour:06x} is not at {x}, {y}");
            }
        }
        assert!(dots.iter().filter(|dot| **dot == TRAINING).count() > 500);
        // An empty run has a picture as well.
        decode(&LossCurve { history: Vec::new(), total_steps: 0 }.png());
    }
}
