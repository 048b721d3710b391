//! One page with everything in it: no server, no network, to open or to send.

use std::fmt::Write;

use pprof_engine::flame::Flame;

const PAGE: &str = include_str!("page.html");
const PLACE: &str = "/*DATA*/null";

/// What a page says beside its flame graph.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub title: &'a str,
    /// The first side is compared with the second.
    pub differ: bool,
    /// Of a series: what each side is. Else empty.
    pub moments: &'a [Moment],
}

/// A node at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub node: String,
    /// Since 1970.
    pub seconds: f64,
}

/// The page of a flame graph.
pub fn page(flame: &Flame, page: &Page<'_>) -> String {
    let mut title = String::new();
    text(&mut title, page.title);
    PAGE.replacen(PLACE, &data(flame, page), 1)
        .replacen("<!--TITLE-->", &title, 1)
}

/// What the page's script draws, in JSON.
fn data(flame: &Flame, page: &Page<'_>) -> String {
    let Page {
        title,
        differ,
        moments,
    } = *page;
    let mut data = String::with_capacity(flame.calls.len() * 16);
    data.push_str("{\"title\":");
    quote(&mut data, title);
    data.push_str(",\"type\":");
    quote(&mut data, &flame.sample_type);
    data.push_str(",\"unit\":");
    quote(&mut data, &flame.unit);
    let _ = write!(data, ",\"differ\":{differ},\"elided\":{}", flame.elided);
    // Of another number than the sides, they could not be told apart.
    let moments = if moments.len() == flame.sides.len() {
        moments
    } else {
        &[]
    };
    list(&mut data, "moments", moments.iter(), |out, moment| {
        out.push_str("{\"node\":");
        quote(out, &moment.node);
        let _ = write!(out, ",\"time\":{:.3}}}", moment.seconds);
    });
    list(&mut data, "sides", flame.sides.iter(), |out, side| {
        quote(out, side);
    });
    let (names, places) = drawn(flame);
    list(&mut data, "names", names.iter(), |out, name| {
        quote(out, name);
    });
    list(&mut data, "name", flame.calls.iter(), |out, call| {
        let _ = write!(out, "{}", places[call.name as usize].unwrap_or(0));
    });
    list(&mut data, "level", flame.calls.iter(), |out, call| {
        let _ = write!(out, "{}", call.level);
    });
    list(&mut data, "totals", 0..flame.sides.len(), |out, side| {
        out.push('[');
        for (place, call) in flame.calls.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{}", call.totals[side]);
        }
        out.push(']');
    });
    data.push('}');
    data
}

/// Only names that are drawn, and for each of all its place among them.
fn drawn(flame: &Flame) -> (Vec<&String>, Vec<Option<usize>>) {
    let mut places = vec![None; flame.names.len()];
    let mut names = Vec::new();
    for call in &flame.calls {
        let place = &mut places[call.name as usize];
        if place.is_none() {
            *place = Some(names.len());
            names.push(&flame.names[call.name as usize]);
        }
    }
    (names, places)
}

fn list<T>(
    out: &mut String,
    key: &str,
    items: impl Iterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    let _ = write!(out, ",\"{key}\":[");
    for (place, of) in items.enumerate() {
        if place > 0 {
            out.push(',');
        }
        item(out, of);
    }
    out.push(']');
}

/// JSON that is safe within a script: names come from strangers' profiles.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes_or_its_script() {
        let mut out = String::new();
        quote(&mut out, "a\"b\\c</script><!--\n\u{2028}");
        assert_eq!(out, r#""a\"b\\c\u003c/script\u003e\u003c!--\u000a\u2028""#);
    }

    #[test]
    fn the_page_has_its_places() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
        assert_eq!(PAGE.matches("<!--TITLE-->").count(), 1);
        // Its own policy keeps it from asking anybody, whatever is in it.
        let policy = "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ";
        let rest = PAGE.replacen(policy, "", 1);
        assert!(PAGE.contains(policy) && !rest.contains("http"));
    }
}
