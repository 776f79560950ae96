//! A QR code as the one path of an inline SVG, so that the content security policy needs no exception for it.

use fast_qr::{ECL, QRBuilder};

/// What the template draws.
#[derive(Debug)]
pub struct Qr {
    /// Width and height in modules, with the quiet zone.
    pub size: usize,
    /// The dark modules, in the language of SVG's `d`.
    pub path: String,
}

/// The light margin that readers need (ISO/IEC 18004).
const QUIET: usize = 4;

impl Qr {
    /// None: the text is too long for a QR code.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let code = QRBuilder::new(text).ecl(ECL::M).build().ok()?;
        let mut path = String::new();
        for row in 0..code.size {
            for column in (0..code.size).filter(|column| code[row][*column].value()) {
                path.push_str(&format!("M{} {}h1v1h-1z", column + QUIET, row + QUIET));
            }
        }
        Some(Self { size: code.size + 2 * QUIET, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_corners_of_a_code_are_where_readers_look() {
        let qr = Qr::of("otpauth://totp/Countersign:ana%40example.org?secret=ABC").unwrap();
        for corner in ["M4 4h", &format!("M{} 4h", qr.size - 5), &format!("M4 {}h", qr.size - 5)] {
            assert!(qr.path.contains(corner), "{corner}");
        }
        assert!(!qr.path.contains(&format!("M{0} {0}h", 3)), "the margin is light");
        assert!(Qr::of(&"x".repeat(5000)).is_none());
    }
}
