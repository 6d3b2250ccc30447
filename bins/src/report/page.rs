//! One HTML file that needs nothing else: escaping, tables, charts, the frame around them.
//!
//! The markup is also well-formed XML, so that a small parser can check it. Charts are the SVG of
//! [`plot`](crate::plot), which has fixed colours; the style sheet gives those of axes and texts
//! other values in dark mode. A policy in the head forbids the page to load anything.

use crate::html::{data_uri, escape};
use std::fmt::Write;

/// The look, light and dark, wide and narrow.
const STYLE: &str = include_str!("style.css");
/// What moves: pictures of the points of the map, highlighting of a class.
const SCRIPT: &str = include_str!("script.js");

/// A page in the making.
pub struct Page {
    title: String,
    lead: String,
    sections: Vec<(&'static str, String, String)>,
    styles: Vec<String>,
}

impl Page {
    /// A page under this title, with a line (markup) below it.
    pub fn new(title: &str, lead: String) -> Self {
        Page {
            title: title.to_string(),
            lead,
            sections: Vec::new(),
            styles: Vec::new(),
        }
    }

    /// Adds a section with a place in the table of contents; `body` is markup. An empty one is
    /// left out.
    pub fn section(&mut self, id: &'static str, heading: &str, body: String) {
        if !body.is_empty() {
            self.sections.push((id, heading.to_string(), body));
        }
    }

    /// Adds rules to the style sheet.
    pub fn style(&mut self, rules: String) {
        self.styles.push(rules);
    }

    /// The file.
    pub fn finish(&self) -> String {
        let title = escape(&self.title);
        let (mut contents, mut body) = (String::new(), String::new());
        for (id, heading, content) in &self.sections {
            let heading = escape(heading);
            contents += &format!("<a href=\"#{id}\">{heading}</a>\n");
            body += &format!("<section id=\"{id}\">\n<h2>{heading}</h2>\n{content}</section>\n");
        }
        let (lead, styles) = (&self.lead, self.styles.concat());
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src \
             data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n\
             <link rel=\"icon\" href=\"data:,\"/>\n\
             <title>{title}</title>\n<style>\n{STYLE}{styles}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n{lead}</header>\n<nav>\n{contents}</nav>\n\
             <main>\n{body}</main>\n<footer>hypersphere {}</footer>\n\
             <script>//<![CDATA[\n{SCRIPT}//]]></script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// A paragraph of plain text.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// Remarks in smaller print.
pub fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// A table of plain texts that scrolls sideways where it is too wide; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let Some((head, body)) = rows.split_first() else {
        return String::new();
    };
    let row = |tag: &str, cells: &[String]| {
        let cells = cells
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = body.iter().map(|cells| row("td", cells)).collect();
    let head = row("th", head);
    format!(
        "<div class=\"scroll\"><table>\n<thead>{head}</thead>\n<tbody>{body}</tbody>\n</table></div>\n"
    )
}

/// A block of text as it is, folded away under a heading.
pub fn folded(heading: &str, text: &str) -> String {
    let (heading, text) = (escape(heading), escape(text));
    format!("<details><summary>{heading}</summary><pre>{text}</pre></details>\n")
}

/// Charts side by side, with a caption for all; each is the text of an SVG file of our own making.
pub fn charts(svgs: &[String], caption: &str) -> String {
    if svgs.is_empty() {
        return String::new();
    }
    let mut out = String::from("<figure class=\"charts\">\n");
    for svg in svgs {
        // A parser of HTML knows what an <svg> is.
        let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
        let _ = writeln!(out, "<div class=\"chart\">{svg}</div>");
    }
    if !caption.is_empty() {
        let _ = writeln!(out, "<figcaption>{}</figcaption>", escape(caption));
    }
    out + "</figure>\n"
}

/// A picture from a file, which may be anybody's: as an image, nothing in it is carried out.
pub fn image(kind: &str, content: &[u8], description: &str) -> String {
    let (data, text) = (data_uri(kind, content), escape(description));
    format!(
        "<figure class=\"image\"><img src=\"{data}\" alt=\"{text}\"/><figcaption>{text}</figcaption></figure>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot;

    #[test]
    fn no_text_breaks_the_markup() {
        let evil = "</td></script><script>alert(1)</script> & \"quoted\" ]]> \u{7}";
        let mut page = Page::new(evil, paragraph(evil));
        let rows = [vec![evil.to_string()], vec![evil.to_string()]];
        page.section("a", evil, table(&rows) + &folded(evil, evil) + &note(evil));
        page.section("b", "left out", String::new());
        page.style(".x{width:1px}".into());
        let html = page.finish();
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        let document = roxmltree::Document::parse_with_options(&html, options).unwrap();
        let count = |tag: &str| {
            document
                .descendants()
                .filter(|n| n.has_tag_name(tag))
                .count()
        };
        assert_eq!((count("script"), count("section"), count("td")), (1, 1, 1));
        let texts = document.descendants().filter(|n| n.has_tag_name("td"));
        let expected = evil.replace('\u{7}', "\u{fffd}");
        assert_eq!(
            texts.map(|n| n.text().unwrap()).collect::<Vec<_>>(),
            [expected]
        );
    }

    /// A colour of the charts without a rule would be black on black in dark mode.
    #[test]
    fn every_colour_of_ink_has_a_counterpart_in_the_dark() {
        let points = [(1.0, 1.0), (2.0, 0.5)];
        let series: Vec<plot::Series> = (0..10)
            .map(|_| plot::Series {
                name: "a",
                points: &points,
            })
            .collect();
        let curves = plot::curves(
            "t",
            &[plot::Curves {
                title: "t",
                x_label: "x",
                x_scale: plot::Scale::Linear,
                y_scale: plot::Scale::Linear,
                series: &series,
            }],
        );
        let histogram = plot::histogram(&plot::Cosines {
            title: "t",
            subtitle: "s",
            groups: &[("a", &[0.5])],
            threshold: Some(0.1),
        });
        let svg = curves.unwrap() + &histogram.unwrap();
        let uses = svg.match_indices("=\"#").map(|(at, _)| {
            let attribute = svg[..at].rsplit([' ', '\n']).next().unwrap_or("");
            let colour = svg[at + 3..].split('"').next().unwrap_or("");
            (attribute, colour)
        });
        let is_grey = |(_, colour): &(&str, &str)| {
            let mut parts = colour.as_bytes().chunks(colour.len() / 3);
            let first = parts.next();
            parts.all(|part| Some(part) == first)
        };
        let greys: std::collections::BTreeSet<(&str, &str)> = uses.filter(is_grey).collect();
        assert!(greys.len() >= 6, "{greys:?}");
        for (attribute, colour) in greys {
            let rule = format!("[{attribute}=\"#{colour}\"]");
            assert!(STYLE.contains(&rule), "{rule} has no rule");
        }
    }
}
