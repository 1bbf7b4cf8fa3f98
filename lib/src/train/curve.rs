//! Step reports → the loss curve: an SVG that grows while training runs, and a plotly figure afterwards.

use std::fmt::Write;

use plotly::common::Mode;
use plotly::layout::Axis;
use plotly::{Layout, Plot, Scatter};
use serde_json::Value;

use crate::display::Show;

/// What one optimizer step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Steps taken, counted from 1.
    pub step: usize,
    /// Passes over the training rows so far.
    pub epoch: f64,
    /// Mean loss of the step's predicted tokens, before its update.
    pub loss: f64,
    /// Learning rate after the step, as transformers logs it.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Input tokens of the step.
    pub tokens: usize,
    /// Floating point operations of the step: see [`crate::train::meter::training_flops`].
    pub flops: f64,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Seconds of that in the optimizer.
    pub optimizer_seconds: f64,
    /// Loss on the test rows, when this step evaluated.
    pub eval_loss: Option<f64>,
}

/// The state of a run as a picture: progress, speed, and the curve of training and evaluation loss.
#[derive(Debug, Clone)]
pub struct LossCurve {
    /// All steps so far.
    pub history: Vec<StepReport>,
    /// Steps of the whole run.
    pub total_steps: usize,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 624.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 262.0;

impl LossCurve {
    fn headline(&self) -> String {
        let Some(last) = self.history.last() else { return "no step yet".into() };
        let (tokens, seconds) =
            self.history.iter().fold((0, 0.0), |(tokens, seconds), step| (tokens + step.tokens, seconds + step.seconds));
        let left = seconds / last.step.max(1) as f64 * self.total_steps.saturating_sub(last.step) as f64;
        let mut line = format!(
            "step {}/{} · epoch {:.2} · loss {:.4}",
            last.step,
            self.total_steps,
            last.epoch,
            self.smooth().last().copied().unwrap_or(last.loss)
        );
        if let Some(loss) = self.history.iter().rev().find_map(|step| step.eval_loss) {
            let _ = write!(line, " · eval {loss:.4}");
        }
        let _ = write!(
            line,
            " · grad {:.2} · lr {:.1e} · {:.0} tokens/s · {}",
            last.grad_norm,
            last.learning_rate,
            tokens as f64 / seconds.max(1e-9),
            if left >= 0.5 { format!("{} left", duration(left)) } else { duration(seconds) }
        );
        line
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

    /// The picture; works on light and dark pages.
    pub fn svg(&self) -> String {
        let smooth = self.smooth();
        let evals: Vec<(usize, f64)> = self.history.iter().filter_map(|step| step.eval_loss.map(|loss| (step.step, loss))).collect();
        let values = || smooth.iter().copied().chain(evals.iter().map(|(_, loss)| *loss));
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let low = values().fold(f64::INFINITY, f64::min);
        let (low, high) = if high > low { (low, high) } else { (low.min(0.0) - 0.5, high.max(0.0) + 0.5) };
        let x = |step: usize| LEFT + (RIGHT - LEFT) * step as f64 / self.total_steps.max(1) as f64;
        let y = |loss: f64| BOTTOM - (BOTTOM - TOP) * (loss - low) / (high - low);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
        );
        let _ = write!(
            svg,
            "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"#ffffff\"/><text x=\"16\" y=\"24\" font-size=\"11\" fill=\"#222222\">{}</text>",
            self.headline()
        );
        for tick in 0..=4 {
            let loss = low + (high - low) * f64::from(tick) / 4.0;
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#e3e3e3\"/><text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#555555\">{loss:.2}</text>",
                y(loss),
                LEFT - 6.0,
                y(loss) + 4.0
            );
            let step = self.total_steps * tick as usize / 4;
            let _ =
                write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{step}</text>", x(step), BOTTOM + 16.0);
        }
        let mut line = |points: Vec<(f64, f64)>, colour: &str| {
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = write!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", points.join(" "));
        };
        // A picture has few columns; more points than that only make it heavy.
        let stride = (self.history.len() / 300).max(1);
        line(self.history.iter().zip(&smooth).step_by(stride).map(|(step, loss)| (x(step.step), y(*loss))).collect(), "#c2410c");
        line(evals.iter().map(|(step, loss)| (x(*step), y(*loss))).collect(), "#1d4ed8");
        for (step, loss) in &evals {
            let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#1d4ed8\"/>", x(*step), y(*loss));
        }
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{0:.1}\" fill=\"#c2410c\">training loss</text><text x=\"{1:.1}\" y=\"{0:.1}\" fill=\"#1d4ed8\">evaluation loss</text><text x=\"{RIGHT}\" y=\"{0:.1}\" text-anchor=\"end\" fill=\"#555555\">step</text></svg>",
            BOTTOM + 32.0,
            LEFT + 100.0
        );
        svg
    }
}

/// Seconds as `50 s`, `4 min 10 s` or `2 h 5 min`.
fn duration(seconds: f64) -> String {
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
        vec![("image/svg+xml", Value::String(self.svg()))]
    }
}

/// An interactive chart with a text twin.
#[derive(Clone)]
pub struct Chart {
    /// The plotly figure, for changes of your own.
    pub plot: Plot,
    curve: LossCurve,
}

/// The loss of a run as a plotly chart.
pub fn plot_loss(history: &[StepReport]) -> Chart {
    let steps = |keep: fn(&StepReport) -> bool| history.iter().filter(|step| keep(step)).map(|step| step.step).collect::<Vec<_>>();
    let mut plot = Plot::new();
    plot.add_trace(Scatter::new(steps(|_| true), history.iter().map(|step| step.loss).collect()).mode(Mode::Lines).name("training loss"));
    let evals: Vec<f64> = history.iter().filter_map(|step| step.eval_loss).collect();
    if !evals.is_empty() {
        plot.add_trace(Scatter::new(steps(|step| step.eval_loss.is_some()), evals).mode(Mode::LinesMarkers).name("evaluation loss"));
    }
    plot.set_layout(Layout::new().title("Loss").x_axis(Axis::new().title("step")).y_axis(Axis::new().title("loss per token")).height(360));
    let total_steps = history.last().map_or(0, |step| step.step);
    Chart { plot, curve: LossCurve { history: history.to_vec(), total_steps } }
}

impl Chart {
    /// The chart as a still picture.
    pub fn svg(&self) -> String {
        self.curve.svg()
    }
}

impl Show for Chart {
    fn text(&self) -> String {
        self.curve.text()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        let figure = serde_json::from_str(&self.plot.to_json()).unwrap_or(Value::Null);
        vec![("application/vnd.plotly.v1+json", figure), ("image/svg+xml", Value::String(self.curve.svg()))]
    }
}
