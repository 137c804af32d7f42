//! Drawings by themselves: the SVG of a page as a file that needs nothing else, and as pixels.

use super::html::escape;
use base64::Engine;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::fmt::Write;
use std::sync::Arc;

/// How drawings look, in pages and by themselves.
pub const STYLE: &str = include_str!("drawing.css");

/// Pixels a unit of a drawing.
const SCALE: f32 = 2.0;
/// Longest side of a picture in pixels.
const LONGEST: f32 = 12_000.0;
/// Typefaces a drawing by itself asks for; the last one comes with the program.
const FACES: &str = "'Noto Sans', 'Liberation Sans', 'DejaVu Sans', Arial, Ubuntu, sans-serif";

/// A drawing as a file of its own. What `svg` is: the element as pages have it.
pub fn standalone(svg: &str) -> String {
    let (width, height) = size(svg);
    let (tag, rest) = svg.split_once('>').unwrap_or((svg, ""));
    let tag = tag.replacen(
        "<svg",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"",
        1,
    );
    let (paper, style) = resolved();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{tag} width=\"{width}\" height=\"{height}\"><style>{style}</style>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{paper}\"/>{rest}\n"
    )
}

/// A drawing as a PNG file, twice as many pixels as it has units.
pub fn png(svg: &str) -> Result<Vec<u8>, String> {
    let mut options = Options::default();
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_system_fonts();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    let tree = Tree::from_str(&standalone(svg), &options).map_err(|e| e.to_string())?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = SCALE.min(LONGEST / width.max(height));
    let pixels = |side: f32| (side * scale).ceil() as u32;
    let mut picture = Pixmap::new(pixels(width), pixels(height)).ok_or("it has no size")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture.encode_png().map_err(|e| e.to_string())
}

/// Drawings with a title each, below each other.
pub fn stacked(label: &str, drawings: &[(String, String)]) -> String {
    let width = drawings.iter().map(|(_, svg)| size(svg).0).fold(0.0, f64::max);
    let (mut body, mut top) = (String::new(), 0.0);
    for (title, svg) in drawings {
        let (wide, high) = size(svg);
        let _ = write!(body, "<text class=\"title\" x=\"12\" y=\"{}\">{}</text>", top + 24.0, escape(title));
        let place = format!("<svg x=\"0\" y=\"{}\" width=\"{wide}\" height=\"{high}\"", top + 36.0);
        body += &svg.replacen("<svg", &place, 1);
        top += high + 52.0;
    }
    format!("<svg viewBox=\"0 0 {width} {top}\" role=\"img\" aria-label=\"{}\">{body}</svg>", escape(label))
}

/// Width and height of a drawing, from its view box.
fn size(svg: &str) -> (f64, f64) {
    let numbers = svg.split_once("viewBox=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(box_, _)| box_);
    let mut numbers = numbers.split(' ').skip(2).filter_map(|n| n.parse().ok());
    (numbers.next().unwrap_or(800.0), numbers.next().unwrap_or(400.0))
}

/// The colour of the paper, and the style with the light theme's colours in place of their names.
fn resolved() -> (String, String) {
    let page = include_str!("style.css");
    let root = page.split_once(":root {").and_then(|(_, rest)| rest.split_once('}')).map_or("", |(root, _)| root);
    let mut style = STYLE.to_owned();
    let mut paper = String::new();
    for (name, value) in root.split(';').filter_map(|rule| rule.trim().split_once(':')) {
        let value = if name == "--sans" { FACES } else { value.trim() };
        style = style.replace(&format!("var({name})"), value);
        if name == "--paper" {
            paper = value.to_owned();
        }
    }
    (paper, style)
}

/// Shares (0 to 1) as an image, a pixel each, from light to dark; for an `href`.
///
/// # Panics
/// If there are not `width` of them a row.
pub fn heat(shares: &[u8], width: usize) -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, (shares.len() / width) as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..=255u8).flat_map(shade).collect::<Vec<u8>>());
    let mut writer = encoder.write_header().expect("written to memory");
    writer.write_image_data(shares).expect("a pixel for each share");
    writer.finish().expect("written to memory");
    format!("data:image/png;base64,{}", encoded(&bytes))
}

/// Bytes in letters.
pub fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The colour of a share: from cream by blue to ink.
pub fn shade(share: u8) -> [u8; 3] {
    const STOPS: [[f32; 3]; 4] =
        [[247.0, 240.0, 222.0], [150.0, 196.0, 200.0], [31.0, 111.0, 143.0], [8.0, 34.0, 58.0]];
    let at = f32::from(share) / 255.0 * (STOPS.len() - 1) as f32;
    let stop = (at as usize).min(STOPS.len() - 2);
    let mix = at - stop as f32;
    std::array::from_fn(|c| (STOPS[stop][c] * (1.0 - mix) + STOPS[stop + 1][c] * mix).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_by_itself_has_no_names_of_colours_and_becomes_pixels() {
        let svg = "<svg viewBox=\"0 0 40 20\" role=\"img\" aria-label=\"a &lt;\"><circle class=\"s1\" cx=\"9\" cy=\"9\" r=\"8\"/></svg>";
        let alone = standalone(svg);
        assert!(!alone.contains("var(") && alone.contains("width=\"40\" height=\"20\""), "{alone}");
        let found = png(svg).unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(found));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (80, 40));
        let pixel = |x: usize, y: usize| &pixels[(y * 80 + x) * 4..][..3];
        assert_eq!((pixel(18, 18), pixel(70, 5)), (&[0xd5, 0x82, 0x2a][..], &[0xfb, 0xfa, 0xf7][..]));
        let both = stacked("two", &[("one <".into(), svg.into()), ("other".into(), svg.into())]);
        assert_eq!(size(&both), (40.0, 144.0));
        assert!(png(&both).is_ok() && both.contains("one &lt;"));
    }

    #[test]
    fn shares_become_an_image() {
        let image = heat(&[0, 255, 128, 0], 2);
        assert!(image.starts_with("data:image/png;base64,iVBOR"));
        let svg = format!(
            "<svg viewBox=\"0 0 2 2\"><image width=\"2\" height=\"2\" image-rendering=\"optimizeSpeed\" href=\"{image}\"/></svg>"
        );
        let found = png(&svg).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(found)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!((&pixels[..3], &pixels[12..15]), (&shade(0)[..], &shade(255)[..]));
    }
}
