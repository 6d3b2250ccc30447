//! Queries and their neighbours as one HTML file that opens offline: every picture is inside it.
//!
//! Plain HTML without scripts, and well-formed XML, so that a parser can check it.

use super::{Answer, Neighbour};
use crate::html::{data_uri, escape};
use data::decode;
use data::formats::Kind;
use engine::par;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The longest side of a picture on the page, in pixels.
const SIDE: usize = 160;
/// The quality of its JPEG, of 100.
const QUALITY: u8 = 82;
/// The largest recording that is put into the page, in bytes.
const LONGEST: u64 = 1 << 20;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--pale:#5d6670;--paper:#fff;--card:#f3f5f7;--good:#1a7f37;--bad:#c5303c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--pale:#9aa4ae;--paper:#14171a;--card:#20252a;--good:#4ac26b;--bad:#ff7b72}}
body{margin:0 auto;max-width:80rem;padding:1rem;background:var(--paper);color:var(--ink);font:1rem/1.4 system-ui,sans-serif}
h1{font-size:1.3rem;margin:0 0 .5rem}
p{color:var(--pale);margin:0 0 1.5rem}
section{display:flex;flex-wrap:wrap;gap:1rem;padding:1rem 0;border-top:1px solid var(--card)}
ol{flex:1 1 18rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:.75rem;list-style:none;margin:0;padding:0}
figure{margin:0;padding:.5rem;background:var(--card);border-radius:.5rem;border:2px solid transparent;overflow-wrap:anywhere;font-size:.8rem}
figure.query{flex:0 0 9rem;align-self:flex-start}
li figure{height:100%;box-sizing:border-box}
.same figure{border-color:var(--good)}.other figure{border-color:var(--bad)}
img{display:block;width:100%;height:8rem;object-fit:contain;margin-bottom:.4rem;image-rendering:auto}
audio{width:100%;margin-bottom:.4rem}
figcaption span{color:var(--pale)}
.same b::after{content:' \\2713';color:var(--good)}.other b::after{content:' \\2717';color:var(--bad)}";

/// What to show.
pub struct Page<'a> {
    /// The heading.
    pub title: String,
    /// Queries with their neighbours.
    pub answers: &'a [Answer],
    /// What they are.
    pub kind: Kind,
    /// The folder that names of queries start from.
    pub queries_from: &'a Path,
    /// The folder that names of the gallery start from, if it is known.
    pub gallery_from: Option<&'a Path>,
}

impl Page<'_> {
    /// The file.
    pub fn html(&self) -> String {
        let shown = self.shown();
        let start = self.common_folder();
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <title>{title}</title>\n<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{}</p>\n",
            self.summary(&start)
        );
        for answer in self.answers {
            let query = shown.get(&self.queries_from.join(&answer.query));
            let class = described(answer.class.as_deref());
            let name = escape(&answer.query[start.len()..]);
            let _ = write!(
                html,
                "<section><figure class=\"query\">{}<figcaption><b>looked for</b><br/>{name}{class}\
                 </figcaption></figure>\n<ol>\n",
                query.map_or("", String::as_str)
            );
            for n in &answer.found {
                html += &self.neighbour(answer, n, &start, &shown);
            }
            html += "</ol></section>\n";
        }
        html + "</body></html>\n"
    }

    fn neighbour(
        &self,
        answer: &Answer,
        n: &Neighbour,
        start: &str,
        shown: &HashMap<PathBuf, String>,
    ) -> String {
        let kind = match (&answer.class, &n.class) {
            (Some(asked), Some(found)) if asked == found => " class=\"same\"",
            (Some(_), Some(_)) => " class=\"other\"",
            _ => "",
        };
        let path = self.path(n);
        let content = path.and_then(|path| shown.get(&path));
        let name = n.shown();
        let name = name.strip_prefix(start).unwrap_or(&name);
        format!(
            "<li{kind}><figure>{}<figcaption><b>{}. {:.3}</b><br/>{}{}</figcaption></figure></li>\n",
            content.map_or("", String::as_str),
            n.rank,
            n.cosine,
            escape(name),
            described(n.class.as_deref())
        )
    }

    fn summary(&self, start: &str) -> String {
        let queries = self.answers.len();
        let known = |a: &&Answer| a.class.is_some() && a.found.iter().any(|n| n.class.is_some());
        let judged: Vec<&Answer> = self.answers.iter().filter(known).collect();
        let right = |a: &&&Answer| a.found.first().is_some_and(|n| n.class == a.class);
        let first = match judged.len() {
            0 => String::new(),
            n => format!(
                " The first neighbour is of the same class for {} of {n}.",
                judged.iter().filter(right).count()
            ),
        };
        let from = match start {
            "" => String::new(),
            _ => format!(" Names start from {}.", escape(start)),
        };
        format!(
            "{queries} looked for; under each neighbour its rank and the cosine, and a border for the \
             same class (\u{2713}) or another one (\u{2717}) where both are known.{first}{from}"
        )
    }

    /// The folder that all names begin with, up to its `/`.
    fn common_folder(&self) -> String {
        let found = self.answers.iter().flat_map(|a| &a.found);
        let found = found.filter_map(|n| n.name.as_deref());
        let mut names = self.answers.iter().map(|a| &*a.query).chain(found);
        let mut common = names.next().unwrap_or("");
        common = &common[..common.rfind('/').map_or(0, |end| end + 1)];
        for name in names {
            while !name.starts_with(common) {
                let shorter = common.strip_suffix('/').unwrap_or("");
                common = &shorter[..shorter.rfind('/').map_or(0, |end| end + 1)];
            }
        }
        common.to_string()
    }

    fn path(&self, n: &Neighbour) -> Option<PathBuf> {
        let name = n.name.as_ref()?;
        Some(self.gallery_from.unwrap_or(self.queries_from).join(name))
    }

    /// Every file on the page as an element, but for those that cannot be read any more.
    fn shown(&self) -> HashMap<PathBuf, String> {
        let queries = self
            .answers
            .iter()
            .map(|a| self.queries_from.join(&a.query));
        let found = self.answers.iter().flat_map(|a| &a.found);
        let found = found.filter_map(|n| self.path(n));
        let files: BTreeSet<PathBuf> = queries.chain(found).collect();
        let files: Vec<PathBuf> = files.into_iter().collect();
        let elements = par::map(files.len(), |i| match self.kind {
            Kind::Picture => picture(&files[i]),
            Kind::Recording => recording(&files[i]),
        });
        let elements = files.into_iter().zip(elements);
        elements.filter_map(|(file, e)| Some((file, e?))).collect()
    }
}

/// A small copy.
fn picture(path: &Path) -> Option<String> {
    let picture = decode::open(path, 3).ok()?;
    let [height, width, _] = picture.shape();
    let scale = (SIDE as f64 / height.max(width) as f64).min(1.0);
    let side = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    let size = [side(height), side(width)];
    let small = picture.resized(picture.area(), size);
    let [height, width] = size.map(|side| side as u32);
    let image = RgbImage::from_raw(width, height, small.into_pixels())?;
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    encoder.encode_image(&image).ok()?;
    let data = data_uri("image/jpeg", &jpeg);
    Some(format!("<img alt=\"\" src=\"{data}\"/>"))
}

/// The recording itself.
fn recording(path: &Path) -> Option<String> {
    let size = path.metadata().ok()?.len();
    let bytes = (size <= LONGEST).then(|| std::fs::read(path).ok())??;
    let data = data_uri("audio/wav", &bytes);
    Some(format!(
        "<audio controls=\"controls\" src=\"{data}\"></audio>"
    ))
}

fn described(class: Option<&str>) -> String {
    class.map_or(String::new(), |class| {
        format!("<br/><span>{}</span>", escape(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_folder_they_share() {
        let common = |query: &str, name: &str| {
            let found = Neighbour {
                rank: 1,
                cosine: 1.0,
                row: 0,
                name: Some(name.into()),
                class: None,
            };
            let answers = [Answer {
                query: query.into(),
                class: None,
                found: vec![found],
            }];
            let page = Page {
                title: String::new(),
                answers: &answers,
                kind: Kind::Picture,
                queries_from: Path::new(""),
                gallery_from: None,
            };
            page.common_folder()
        };
        assert_eq!(common("a/b/1.png", "a/b/c/1.png"), "a/b/");
        assert_eq!(common("a/bc/1.png", "a/b/1.png"), "a/");
        assert_eq!(common("/a/1.png", "/b/1.png"), "/");
        assert_eq!(common("a/1.png", "1.png"), "");
        assert_eq!(common("1.png", "1.png"), "");
    }

    #[test]
    fn a_page_is_well_formed_whatever_files_are_called_and_has_their_pictures_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let evil = "<script>alert(\"1\")</script>&\u{1}.ppm".replace('/', ":");
        let mut pixels = b"P6 400 200 255\n".to_vec();
        pixels.extend([10; 400 * 200 * 3]);
        std::fs::write(folder.path().join(&evil), pixels).unwrap();
        let neighbour = |rank, name: &str, class: &str| Neighbour {
            rank,
            cosine: 0.5,
            row: rank,
            name: Some(name.into()),
            class: Some(class.into()),
        };
        let answers = [Answer {
            query: evil.clone(),
            class: Some("a<b".into()),
            found: vec![neighbour(1, &evil, "a<b"), neighbour(2, "gone.png", "c")],
        }];
        let page = Page {
            title: "Neighbours".into(),
            answers: &answers,
            kind: Kind::Picture,
            queries_from: folder.path(),
            gallery_from: None,
        };
        let html = page.html();
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        let tree = roxmltree::Document::parse_with_options(&html, options).unwrap();
        let all = |name: &'static str| tree.descendants().filter(move |n| n.has_tag_name(name));
        assert_eq!(all("script").count(), 0);
        assert_eq!(all("img").count(), 2, "the query and its first neighbour");
        let src = all("img").next().unwrap().attribute("src").unwrap();
        assert!(
            src.starts_with("data:image/jpeg;base64,/9j/"),
            "{}",
            &src[..40]
        );
        let classes: Vec<_> = all("li").map(|li| li.attribute("class").unwrap()).collect();
        assert_eq!(classes, ["same", "other"]);
        let captions: Vec<String> = all("figcaption")
            .map(|c| {
                c.descendants()
                    .filter_map(|n| n.text().filter(|_| n.is_text()))
                    .collect()
            })
            .collect();
        let name = evil.replace('\u{1}', "\u{fffd}");
        assert_eq!(captions[1], format!("1. 0.500{name}a<b"));
        assert!(html.contains("for 1 of 1"));
        // Nothing is fetched.
        assert!(!html.contains("http"));
    }
}
