//! Lines, discs and words on a white ground → a PNG image, for viewers that draw neither charts nor SVG.
//!
//! The image has a palette: each colour in [`LEVELS`] strengths, so that edges are smooth and the file stays small.
//! Format: <https://www.w3.org/TR/png-3/>.

/// Strengths of a colour between white and itself.
const LEVELS: u8 = 8;
/// The letters from space to `~`, five columns each, two hexadecimal digits a column, the lowest bit at the top.
const FONT: &str = "\
    000000000000005f00000007000700147f147f14242a7f2a12231308646236495620500008070300001c2241000041221c00\
    2a1c7f1c2a08083e080800807030000808080808000060600020100804023e5149453e00427f400072494949462141494d33\
    1814127f1027454545393c4a49493141211109073649494936464949291e0000140000004034000000081422411414141414\
    004122140802015909063e415d594e7c1211127c7f494949363e414141227f4141413e7f494949417f090909013e41415173\
    7f0808087f00417f41002040413f017f081422417f404040407f021c027f7f0408107f3e4141413e7f090909063e4151215e\
    7f09192946264949493203017f01033f4040403f1f2040201f3f4038403f631408146303047804036159494d43007f414141\
    0204081020004141417f04020102044040404040000307080020545478407f284444383844444428384444287f3854545418\
    00087e090218a4a49c787f0804047800447d40002040403d007f1028440000417f40007c047804787c080404783844444438\
    fc1824241818242418fc7c08040408485454542404043f44243c4040207c1c2040201c3c4030403c44281028444c9090907c\
    4464544c440008364100000077000000413608000201020402";
/// Dots from one letter to the next, and from the top of a letter to the line it stands on.
const ADVANCE: f64 = 6.0;
const ASCENT: f64 = 7.0;

/// A picture that is being drawn; x grows to the right and y downward, both in dots.
pub struct Canvas {
    width: usize,
    height: usize,
    /// 0 is white; otherwise (place of the colour · LEVELS) + strength, strength from 1 to LEVELS.
    dots: Vec<u8>,
    /// Red, green and blue, such as `0xc2410c`.
    colours: Vec<u32>,
}

impl Canvas {
    /// A white picture.
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, dots: vec![0; width * height], colours: Vec::new() }
    }

    /// Draws lines of a width from point to point.
    pub fn line(&mut self, points: &[(f64, f64)], colour: u32, width: f64) {
        for pair in points.windows(2) {
            let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
            let length = ((x2 - x1).powi(2) + (y2 - y1).powi(2)).max(1e-9);
            self.cover((x1.min(x2), x1.max(x2)), (y1.min(y2), y1.max(y2)), width / 2.0, colour, |x, y| {
                let along = (((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length).clamp(0.0, 1.0);
                (x - x1 - along * (x2 - x1)).hypot(y - y1 - along * (y2 - y1))
            });
        }
    }

    /// Draws a filled circle.
    pub fn disc(&mut self, (x, y): (f64, f64), radius: f64, colour: u32) {
        self.cover((x, x), (y, y), radius, colour, |at_x, at_y| (at_x - x).hypot(at_y - y));
    }

    /// Writes words; `anchor` is the share of them that lies left of the point. What has no letter here is a blank.
    pub fn words(&mut self, (x, y): (f64, f64), anchor: f64, text: &str, colour: u32) {
        let strongest = self.colour(colour) + LEVELS;
        let left = (x - anchor * ADVANCE * text.chars().count() as f64).round();
        for (place, char) in text.chars().enumerate() {
            for column in 0..5 {
                let bits = glyph(char, column);
                for row in (0..8).filter(|row| bits >> row & 1 == 1) {
                    self.set(left + ADVANCE * place as f64 + column as f64, (y - ASCENT).round() + f64::from(row), strongest);
                }
            }
        }
    }

    /// The picture as a file.
    pub fn png(&self) -> Vec<u8> {
        let mut palette = vec![0xff; 3];
        for colour in &self.colours {
            for level in 1..=u32::from(LEVELS) {
                let mix = |shift: u32| 0xff - (0xff - (colour >> shift & 0xff)) * level / u32::from(LEVELS);
                palette.extend([16, 8, 0].map(|shift| mix(shift) as u8));
            }
        }
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
        encoder.set_compression(png::Compression::Balanced);
        encoder.set_filter(png::Filter::NoFilter);
        // Into memory, and every dot has its colour in the palette: there is nothing that could fail.
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.dots));
        written.expect("a picture of at least one dot");
        file
    }

    /// Colours the dots whose distance to something is at most `radius`; edges get a part of the colour.
    fn cover(&mut self, x: (f64, f64), y: (f64, f64), radius: f64, colour: u32, distance: impl Fn(f64, f64) -> f64) {
        let base = self.colour(colour);
        let around = |(low, high): (f64, f64), size: usize| {
            let first = (low - radius - 1.0).clamp(0.0, size as f64) as usize;
            first..((high + radius + 2.0).clamp(0.0, size as f64) as usize)
        };
        for row in around(y, self.height) {
            for column in around(x, self.width) {
                // A dot's middle.
                let (column, row) = (column as f64, row as f64);
                let share = (radius + 0.5 - distance(column + 0.5, row + 0.5)).clamp(0.0, 1.0);
                let level = (share * f64::from(LEVELS)).round() as u8;
                if level > 0 {
                    self.set(column, row, base + level);
                }
            }
        }
    }

    /// Sets a dot, unless it has more of the same colour or this is the faint edge of another one.
    fn set(&mut self, x: f64, y: f64, dot: u8) {
        if x < 0.0 || y < 0.0 || x as usize >= self.width || y as usize >= self.height {
            return;
        }
        let old = &mut self.dots[y as usize * self.width + x as usize];
        let same = *old == 0 || (*old - 1) / LEVELS == (dot - 1) / LEVELS;
        if (same && dot > *old) || (!same && (dot - 1) % LEVELS >= LEVELS / 2) {
            *old = dot;
        }
    }

    /// What the dots of a colour begin with.
    fn colour(&mut self, colour: u32) -> u8 {
        let place = self.colours.iter().position(|known| *known == colour).unwrap_or_else(|| {
            self.colours.push(colour);
            self.colours.len() - 1
        });
        // More colours than a palette holds would be a mistake of ours.
        assert!(place < 255 / usize::from(LEVELS), "at most 31 colours in one picture");
        place as u8 * LEVELS
    }
}

/// A column of a letter, its lowest bit at the top.
fn glyph(char: char, column: usize) -> u8 {
    let char = if char == '·' { '-' } else { char };
    let place = (char as usize).wrapping_sub(' ' as usize) * 10 + column * 2;
    FONT.get(place..place + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reads a PNG of ours back: width, height, and the colour of each dot.
    pub(crate) fn decode(file: &[u8]) -> (usize, usize, Vec<u32>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let palette = reader.info().palette.clone().unwrap();
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut dots).unwrap();
        let colour = |dot: &u8| palette[usize::from(*dot) * 3..][..3].iter().fold(0, |colour, part| colour << 8 | u32::from(*part));
        (width, height, dots.iter().map(colour).collect())
    }

    #[test]
    fn a_line_a_disc_and_a_digit_are_where_they_were_drawn() {
        let mut canvas = Canvas::new(40, 20);
        canvas.line(&[(0.0, 10.0), (39.0, 10.0)], 0xff0000, 2.0);
        canvas.disc((30.0, 5.0), 3.0, 0x0000ff);
        canvas.words((0.0, 7.0), 0.0, "1", 0x222222);
        // Outside of the picture nothing is drawn.
        canvas.line(&[(-50.0, -50.0), (-1.0, 90.0)], 0xff0000, 2.0);
        let (width, height, dots) = decode(&canvas.png());
        assert_eq!((width, height), (40, 20));
        assert!((1..39).all(|x| dots[9 * width + x] == 0xff0000 && dots[10 * width + x] == 0xff0000));
        assert_eq!((dots[15 * width + 20], dots[5 * width + 30]), (0xffffff, 0x0000ff));
        let digit: Vec<String> =
            (0..7).map(|y| (0..5).map(|x| if dots[y * width + x] == 0x222222 { '#' } else { ' ' }).collect()).collect();
        assert_eq!(digit, ["  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "]);
    }
}
