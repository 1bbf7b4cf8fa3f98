//! Step reports → an interactive chart of plotly, with a text twin and a still picture.

use plotly::common::Mode;
use plotly::layout::Axis;
use plotly::{Layout, Plot, Scatter};
use serde_json::Value;

use crate::display::output::{Show, last_expression, show};
use crate::train::log::curve::LossCurve;
use crate::train::report::StepReport;

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

impl std::fmt::Debug for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chart").field(&self.text()).finish()
    }
}

impl Chart {
    /// The chart as a still picture.
    pub fn svg(&self) -> String {
        self.curve.svg()
    }
}

impl Show for Chart {
    fn text(&self) -> String {
        self.curve.headline()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        let figure = serde_json::from_str(&self.plot.to_json()).unwrap_or(Value::Null);
        // Plotly's renderer shows a PNG beside its figure in place of the figure, until the mouse comes; the HTML has it.
        let pictures = self.curve.picture().forms().into_iter().filter(|(mime, _)| *mime != "image/png");
        [("application/vnd.plotly.v1+json", figure)].into_iter().chain(pictures).collect()
    }
}

/// Shows the loss of a run (see [`plot_loss`]).
pub fn show_loss(history: &[StepReport]) {
    show(&plot_loss(history));
}

last_expression!(Chart);

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    fn history() -> Vec<StepReport> {
        let report = |step: usize| StepReport {
            step,
            epoch: step as f64 / 10.0,
            loss: 4.0 - step as f64 * 0.03,
            eval_loss: step.is_multiple_of(50).then_some(2.0),
            ..Default::default()
        };
        (1..=100).map(report).collect()
    }

    #[test]
    fn every_viewer_finds_a_form() {
        let chart = plot_loss(&history());
        let mimes = |value: &dyn Show| value.rich().into_iter().map(|(mime, _)| mime).collect::<Vec<_>>();
        let pictures = ["text/html", "image/svg+xml", "image/png"];
        assert_eq!(mimes(&chart.curve), pictures);
        assert_eq!(mimes(&chart), ["application/vnd.plotly.v1+json", "text/html", "image/svg+xml"]);
        assert!(chart.text().starts_with("step 100/100 · epoch 10.00 · loss 1."), "{}", chart.text());
        let (rich, png) = (chart.rich(), STANDARD.encode(chart.curve.png()));
        assert_eq!(rich[0].1["data"].as_array().unwrap().len(), 2);
        let html = rich[1].1.as_str().unwrap();
        assert!(html.contains(&format!("<img src=\"data:image/png;base64,{png}\"")) && html.contains(&format!("alt=\"{}\"", chart.text())));
        assert!(!html.contains("http"), "nothing is fetched: {html}");
        assert_eq!(chart.curve.rich()[2].1, png.as_str());
        assert!(format!("{chart:?}").starts_with("Chart(\"step 100/100"));
    }
}
