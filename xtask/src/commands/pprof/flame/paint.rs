//! Boxes as text: colour by package, labels cut to fit.

use foundation::ui::text::sgr;

/// The highlighting of a box.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is shown in its own way"
)]
pub(super) struct Ink {
    pub(super) selected: bool,
    /// Another place of the selected function.
    pub(super) same: bool,
    pub(super) hit: bool,
    pub(super) dim: bool,
    /// The change in a difference, from -1 to 1.
    pub(super) change: Option<f64>,
}

/// Of the 256 colours: light enough for black letters.
const WARM: [u8; 12] = [216, 222, 215, 180, 186, 223, 229, 179, 209, 217, 187, 221];
const RUNTIME: u8 = 152;
const HIT: u8 = 207;

/// Colours of the names, or none.
#[derive(Debug)]
pub(super) struct Paint {
    colours: Vec<u8>,
    colour: bool,
}

impl Paint {
    pub(super) fn new(names: &[String], colour: bool) -> Self {
        Self {
            colours: names.iter().map(|name| colour_of(name)).collect(),
            colour,
        }
    }

    /// A box of `width` columns.
    pub(super) fn cell(&self, name: u32, text: &str, width: usize, ink: Ink) -> String {
        let label = if width < 3 {
            " ".repeat(width)
        } else {
            // A column between neighbours of one colour.
            let label = short(text, width - 1);
            format!("{label:<0$} ", width - 1)
        };
        let styled = |is_on: bool, parameters: &str| is_on.then(|| sgr(parameters));
        let mark = styled(ink.selected, "7;1").or_else(|| styled(ink.same, "1;4"));
        let mark = mark.unwrap_or_default();
        if !self.colour {
            let label = if width > 1 {
                format!("|{}", label.chars().take(width - 1).collect::<String>())
            } else {
                "|".repeat(width)
            };
            let hit = styled(ink.hit, "4").unwrap_or_default();
            return format!("{mark}{hit}{label}{}", sgr("0"));
        }
        let back = match ink.change {
            _ if ink.hit => HIT,
            Some(change) => difference(change),
            None => self.colours.get(name as usize).copied().unwrap_or(RUNTIME),
        };
        let dim = styled(ink.dim, "2").unwrap_or_default();
        let (ink, plain) = (sgr(&format!("30;48;5;{back}")), sgr("0"));
        let text = label.strip_suffix(' ').filter(|_| width > 2);
        // The gap is the terminal's own background.
        match text {
            Some(text) => format!("{dim}{mark}{ink}{text}{plain} "),
            None => format!("{dim}{mark}{ink}{label}{plain}"),
        }
    }
}

/// A full line in reverse video.
pub(super) fn bar(text: &str, width: usize) -> String {
    let text = super::view::fit(text, width);
    format!("{}{text:<width$}{}", sgr("7"), sgr("0"))
}

/// Red grew, blue shrank, grey is unchanged.
fn difference(change: f64) -> u8 {
    match change {
        change if change > 0.5 => 203,
        change if change > 0.1 => 217,
        change if change < -0.5 => 75,
        change if change < -0.1 => 153,
        _ => 252,
    }
}

/// One colour for a package, cold ones for the runtime.
fn colour_of(name: &str) -> u8 {
    let package = package(name);
    if package == "runtime" || package.starts_with("runtime/") || package == "all" {
        return RUNTIME;
    }
    let hash = package.bytes().fold(2_166_136_261_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    WARM[hash as usize % WARM.len()]
}

fn package(name: &str) -> &str {
    // Type parameters have slashes too.
    let plain = name.split('[').next().unwrap_or(name);
    let slash = plain.rfind('/').map_or(0, |slash| slash + 1);
    let dot = plain[slash..]
        .find('.')
        .map_or(plain.len(), |dot| slash + dot);
    &plain[..dot]
}

/// Shortens a name at its beginning: its end is more specific.
fn short(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    let plain_end = name.find('[').unwrap_or(name.len());
    let slash = name[..plain_end].rfind('/').map_or(0, |slash| slash + 1);
    name[slash..].chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_they_tell_least() {
        let name = "github.com/a/b/network.(*LinkController[go.shape.x/y]).Run";
        assert_eq!(package(name), "github.com/a/b/network");
        assert_eq!(short(name, 12), "network.(*Li");
        assert_eq!(short("main.f", 12), "main.f");
        assert_eq!(package("all"), "all");
    }
}
