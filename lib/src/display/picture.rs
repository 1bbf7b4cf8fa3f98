//! Lines, discs and words → a picture for every viewer, with a text in its place.

use std::fmt::Write;

#[cfg(feature = "plot")]
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::display::output::escape;
#[cfg(feature = "plot")]
use crate::display::raster::Canvas;

const RADIUS: f64 = 3.0;

/// Width and height of a chart.
pub(crate) const CHART: (f64, f64) = (640.0, 300.0);
/// Where the curves of a chart begin, end, and stand on their axis.
pub(crate) const LEFT: f64 = 56.0;
pub(crate) const RIGHT: f64 = 624.0;
pub(crate) const BOTTOM: f64 = 262.0;

pub(crate) const DARK: u32 = 0x222222;
pub(crate) const GREY: u32 = 0x555555;
pub(crate) const ORANGE: u32 = 0xc2410c;
pub(crate) const BLUE: u32 = 0x1d4ed8;
pub(crate) const PALE: u32 = 0xe3e3e3;

/// Shapes in the order of drawing on a white ground.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// What it says, for those who do not see it.
    pub label: String,
    /// Width and height.
    pub size: (f64, f64),
    pub shapes: Vec<Shape>,
}

/// A part of a picture; colours are red, green and blue.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Line {
        points: Vec<(f64, f64)>,
        colour: u32,
        width: f64,
    },
    Disc {
        x: f64,
        y: f64,
        colour: u32,
    },
    /// `anchor`: 0 begins at the point, 0.5 has it in the middle, 1 ends there.
    Words {
        x: f64,
        y: f64,
        anchor: f64,
        text: String,
        colour: u32,
    },
}

impl Shape {
    pub fn words(x: f64, y: f64, anchor: f64, text: impl Into<String>, colour: u32) -> Self {
        Self::Words { x, y, anchor, text: text.into(), colour }
    }
}

/// The values of a chart, from [`BOTTOM`] up.
#[derive(Debug)]
pub(crate) struct ValueAxis {
    ticks: Vec<f64>,
    decimals: usize,
    low: f64,
    high: f64,
    top: f64,
}

impl ValueAxis {
    /// An axis whose round numbers reach from below `low` to above `high`, which stands at `top`.
    pub fn new(low: f64, high: f64, top: f64) -> Self {
        let (ticks, decimals) = round_ticks(low, high);
        Self { low: ticks[0].min(low), high: ticks[ticks.len() - 1].max(high), ticks, decimals, top }
    }

    /// Where a value stands.
    pub fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - self.top) * (value - self.low) / (self.high - self.low)
    }

    /// The round numbers, each with its line.
    pub fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.ticks.iter().flat_map(|&value| {
            let (y, decimals) = (self.y(value), self.decimals);
            let line = Shape::Line { points: vec![(LEFT, y), (RIGHT, y)], colour: PALE, width: 1.0 };
            [line, Shape::words(LEFT - 6.0, y + 4.0, 1.0, format!("{value:.decimals$}"), GREY)]
        })
    }
}

impl Picture {
    /// The picture as SVG; works on light and dark pages.
    pub fn svg(&self) -> String {
        let (width, height) = self.size;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{}\"><rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>",
            escape(&self.label)
        );
        for shape in &self.shapes {
            let _ = match shape {
                Shape::Line { points, colour, width } => {
                    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                    let points = points.join(" ");
                    write!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"#{colour:06x}\" stroke-width=\"{width}\"/>")
                }
                Shape::Disc { x, y, colour } => write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" fill=\"#{colour:06x}\"/>"),
                Shape::Words { x, y, anchor, text, colour } => {
                    let anchor = ["start", "middle", "end"][(anchor * 2.0) as usize];
                    let text = escape(text);
                    write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#{colour:06x}\">{text}</text>")
                }
            };
        }
        svg + "</svg>"
    }

    /// The picture as a PNG file, for viewers that draw no SVG.
    #[cfg(feature = "plot")]
    pub fn png(&self) -> Vec<u8> {
        let mut canvas = Canvas::new(self.size.0 as usize, self.size.1 as usize);
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, colour, width } => canvas.line(points, *colour, *width),
                Shape::Disc { x, y, colour } => canvas.disc((*x, *y), RADIUS, *colour),
                Shape::Words { x, y, anchor, text, colour } => canvas.words((*x, *y), *anchor, text, *colour),
            }
        }
        canvas.png()
    }

    /// The picture by media type: HTML that falls back from SVG to PNG to words where a sanitizer takes them away, then both
    /// alone. Nothing is fetched.
    #[cfg(feature = "plot")]
    pub fn forms(&self) -> Vec<(&'static str, Value)> {
        let ((width, height), svg, png) = (self.size, self.svg(), STANDARD.encode(self.png()));
        let html = format!(
            "<picture><source type=\"image/svg+xml\" srcset=\"data:image/svg+xml;base64,{}\"><img src=\"data:image/png;base64,{png}\" width=\"{width}\" height=\"{height}\" alt=\"{}\"></picture>",
            STANDARD.encode(&svg),
            escape(&self.label)
        );
        vec![("text/html", html.into()), ("image/svg+xml", svg.into()), ("image/png", png.into())]
    }

    /// The picture for viewers that draw SVG; the feature `plot` adds the others.
    #[cfg(not(feature = "plot"))]
    pub fn forms(&self) -> Vec<(&'static str, Value)> {
        vec![("image/svg+xml", self.svg().into())]
    }
}

/// About five round values from the one at or below `low` to the one at or above `high`, and the decimals that they need.
pub(crate) fn round_ticks(low: f64, high: f64) -> (Vec<f64>, usize) {
    let step = round_step((high - low) / 5.0);
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    let count = ((last - first) as usize).clamp(1, 20);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    ((0..=count).map(|tick| (first + tick as f64) * step).collect(), decimals)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a value.
pub(crate) fn round_step(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}
