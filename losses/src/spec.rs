//! The text form of losses: `so-softmax:lambda_p=32,lambda_n=32,m=0.3 + 0.1*center`.

use crate::advice::{Note, NoteKind, margin_warning};
use crate::error::{Error, Result};
use crate::info::{LossInfo, Parameter, Preset};
use crate::table;
use crate::values::{Value, Values};
use std::fmt;
use std::str::FromStr;

/// A weighted sum of losses with their settings. Read it with `parse`, write it with `Display`;
/// what is written is read back as the same spec.
///
/// ```
/// use losses::Spec;
/// let spec: Spec = "arcface:m=28.6deg + 0.1*center".parse().unwrap();
/// assert_eq!(spec.terms().len(), 2);
///
/// let error = "arcface:m=28.6".parse::<Spec>().unwrap_err().to_string();
/// assert!(error.contains("m=0.4992 or m=28.6deg"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    terms: Vec<Term>,
}

/// One loss of a sum, with its weight and what is set of its parameters.
#[derive(Clone, Debug)]
pub struct Term {
    weight: f64,
    info: &'static LossInfo,
    preset: Option<&'static Preset>,
    given: Vec<(&'static Parameter, Value)>,
}

impl PartialEq for Term {
    /// Whether the two compute the same, however they were written.
    fn eq(&self, other: &Self) -> bool {
        self.weight == other.weight
            && self.info.name == other.info.name
            && self.values() == other.values()
    }
}

impl Spec {
    /// The losses of the sum, in the order they were written.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// A loss alone, with every parameter that can be chosen automatically left to `auto`.
    ///
    /// # Errors
    /// [`Error::UnknownLoss`].
    pub fn automatic(name: &str) -> Result<Self> {
        let mut term: Term = name.parse()?;
        let automatic = term.info.parameters.iter().filter(|p| p.auto.is_some());
        term.given.extend(automatic.map(|p| (p, Value::Auto)));
        Ok(Spec { terms: vec![term] })
    }

    /// The same spec with the parameter `key` of every term that has it set to a number.
    pub(crate) fn with(mut self, key: &str, value: f64) -> Self {
        for term in &mut self.terms {
            if let Ok(parameter) = term.info.parameter(key) {
                term.given.retain(|(p, _)| p.key != key);
                term.given.push((parameter, Value::Number(value)));
            }
        }
        self
    }

    /// Whether a loss of the sum has a margin that [`with_margins`](Spec::with_margins) moves.
    pub fn has_margins(&self) -> bool {
        self.terms
            .iter()
            .any(|term| term.margins().next().is_some())
    }

    /// The same spec with the margins of all losses at `share` of the way from none, at 0, to their
    /// values, at 1. What is left to `auto` stays so, and a margin that hangs on it is not moved.
    pub fn with_margins(mut self, share: f64) -> Self {
        for term in &mut self.terms {
            let margins: Vec<_> = term.margins().collect();
            for (parameter, none, value) in margins {
                let Some(none) = none else { continue };
                let moved = Value::Number(none + share * (value - none));
                term.given.retain(|(p, _)| p.key != parameter.key);
                term.given.push((parameter, moved));
            }
        }
        self
    }

    /// Replaces every `auto` by a number for this many classes and dimensions of the embedding.
    /// The notes say what was chosen and why, and what will not work.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`].
    pub fn resolve(&self, classes: usize, dim: usize) -> Result<(Spec, Vec<Note>)> {
        if classes < 2 {
            return Err(Error::TooFewClasses { classes });
        }
        let mut notes = Vec::new();
        let mut spec = self.clone();
        for term in &mut spec.terms {
            let loss = term.info.name;
            let values = term.values();
            for p in term.info.parameters {
                if let (Value::Auto, Some(rule)) = (values.get(p.key), p.auto) {
                    let (value, text) = rule(&values, classes);
                    let kind = NoteKind::Chosen { key: p.key, value };
                    notes.push(Note { loss, kind, text });
                    term.given.retain(|(given, _)| given.key != p.key);
                    term.given.push((p, Value::Number(value)));
                }
            }
            let mut warnings = table::build::<f32>(term).warnings(classes, dim);
            let values = term.values();
            let parameters = term.info.parameters.iter();
            warnings.extend(parameters.filter_map(|p| margin_warning(&values, p, [classes, dim])));
            notes.extend(warnings.into_iter().map(|text| Note {
                loss,
                kind: NoteKind::Warning,
                text,
            }));
        }
        Ok((spec, notes))
    }
}

impl Term {
    /// The factor in the sum.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The page about the loss.
    pub fn info(&self) -> &'static LossInfo {
        self.info
    }

    /// The values of all its parameters: what is given, else what the preset says, else the
    /// default.
    pub fn values(&self) -> Values {
        let preset = self.preset.iter().flat_map(|p| p.settings);
        let mut given: Vec<_> = preset
            .map(|(key, value)| {
                let parsed = self
                    .info
                    .parameter(key)
                    .and_then(|p| Ok((p, p.parse(self.info.name, value)?)));
                parsed.expect("the tests read every preset")
            })
            .collect();
        given.extend(&self.given);
        Values::new(self.info, &given)
    }
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let terms = summands(text).map(str::parse).collect::<Result<_>>()?;
        Ok(Spec { terms })
    }
}

/// The parts between plus signs, but for those of numbers like `1e+3`.
fn summands(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let is_exponent = move |at: usize| {
        at >= 2
            && matches!(bytes[at - 1], b'e' | b'E')
            && (bytes[at - 2].is_ascii_digit() || bytes[at - 2] == b'.')
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
    };
    let mut start = 0;
    let cuts: Vec<usize> = text
        .match_indices('+')
        .map(|(at, _)| at)
        .filter(|&at| !is_exponent(at))
        .collect();
    cuts.into_iter().chain([text.len()]).map(move |end| {
        let part = &text[start..end];
        start = end + 1;
        part
    })
}

impl FromStr for Term {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let syntax = |reason: &str| Error::Syntax {
            text: text.to_string(),
            reason: reason.to_string(),
        };
        let (weight, rest) = match text.split_once('*') {
            None => (1.0, text),
            Some((weight, rest)) => {
                let weight: f64 = weight
                    .trim()
                    .parse()
                    .map_err(|_| syntax("the weight before `*` is not a number"))?;
                if !(weight > 0.0 && weight.is_finite()) {
                    return Err(syntax("the weight before `*` must be positive"));
                }
                (weight, rest.trim())
            }
        };
        let (name, settings) = match rest.split_once(':') {
            None => (rest, ""),
            Some((name, settings)) => (name.trim(), settings),
        };
        if name.is_empty() {
            return Err(syntax("the name is missing"));
        }
        let mut term = Term {
            weight,
            info: table::find(name)?,
            preset: None,
            given: Vec::new(),
        };
        for setting in settings.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let Some((key, value)) = setting.split_once('=') else {
                return Err(syntax(&format!("`{setting}` is not of the form key=value")));
            };
            term.set(key.trim(), value.trim())?;
        }
        Ok(term)
    }
}

impl Term {
    /// Its margins, as far as there are any: each with the value at which it is none, unless that
    /// hangs on something left to `auto`, and its own.
    fn margins(&self) -> impl Iterator<Item = (&'static Parameter, Option<f64>, f64)> + use<> {
        let values = self.values();
        self.info.parameters.iter().filter_map(move |parameter| {
            let (none, value) = (parameter.no_margin?, values.given(parameter.key)?);
            let none = none(&values);
            (none != Some(value)).then_some((parameter, none, value))
        })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if key == "preset" && !self.info.presets.is_empty() {
            let found = self.info.presets.iter().find(|p| p.name == value);
            let names = || {
                self.info
                    .presets
                    .iter()
                    .map(|p| p.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            self.preset = Some(found.ok_or_else(|| Error::BadValue {
                loss: self.info.name,
                key: "preset",
                value: value.to_string(),
                reason: format!("the presets are {}", names()),
            })?);
            return Ok(());
        }
        let parameter = self.info.parameter(key)?;
        let value = parameter.parse(self.info.name, value)?;
        self.given.retain(|(p, _)| p.key != key);
        self.given.push((parameter, value));
        Ok(())
    }
}

/// What was given; with `{:#}`, every parameter with its value.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let plus = if i == 0 { "" } else { " + " };
            f.write_str(plus)?;
            term.fmt(f)?;
        }
        Ok(())
    }
}

/// What was given; with `{:#}`, every parameter with its value.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weight != 1.0 {
            write!(f, "{}*", self.weight)?;
        }
        write!(f, "{}", self.info.name)?;
        let settings: Vec<String> = if f.alternate() {
            let values = self.values();
            let set = values.iter().filter(|(_, v)| *v != Value::Unset);
            set.map(|(key, value)| format!("{key}={value}")).collect()
        } else {
            let preset = self.preset.map(|p| format!("preset={}", p.name));
            let given = self.given.iter().map(|(p, v)| format!("{}={v}", p.key));
            preset.into_iter().chain(given).collect()
        };
        for (i, setting) in settings.iter().enumerate() {
            let separator = if i == 0 { ':' } else { ',' };
            write!(f, "{separator}{setting}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Spec>().unwrap_err().to_string()
    }

    #[test]
    fn every_value_can_be_written() {
        let spec: Spec = "so-softmax:m=0.25 + 0.1*center".parse().unwrap();
        let full = format!("{spec:#}");
        assert!(
            full.starts_with(
                "so-softmax:lambda_p=32,lambda_n=32,m=0.25,one_sided=false + 0.1*center:"
            ),
            "{full}"
        );
        let again: Spec = full.parse().unwrap();
        assert_eq!(format!("{again}"), full, "the full form can be read again");
    }

    #[test]
    fn a_sum_is_read_and_written() {
        let text = "so-softmax:lambda_p=64,m=0.25 + 0.1*center";
        let spec: Spec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let [so, center] = spec.terms() else {
            panic!("{spec:?}")
        };
        assert_eq!((so.weight(), so.info().name), (1.0, "so-softmax"));
        assert_eq!(so.values().number("lambda_p"), 64.0);
        assert_eq!(so.values().number("lambda_n"), 32.0, "the default");
        assert_eq!((center.weight(), center.info().name), (0.1, "center"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let texts = [
            "softmax",
            "  softmax :smoothing = 0.1 ",
            "2.5*normface:s=1e+2+center",
            "arcface:s=64,m=28.6deg",
            "so-softmax:preset=sv-repo,m=0.4",
            "sphereface:m=3 + 1e-3*center:rule=gradient + sml:form=pair,kappa=2",
            "cosface:s=auto",
            "so-softmax:one_sided=true",
        ];
        for text in texts {
            let spec: Spec = text.parse().unwrap();
            let again: Spec = spec.to_string().parse().unwrap();
            assert_eq!(spec, again, "{text} -> {spec}");
        }
    }

    #[test]
    fn a_preset_gives_way_to_what_is_given() {
        let spec: Spec = "so-softmax:m=0.4,preset=sv-repo".parse().unwrap();
        let values = spec.terms()[0].values();
        assert_eq!((values.number("lambda_p"), values.number("m")), (2.0, 0.4));
        assert!(error("so-softmax:preset=nothing").contains("sv-repo"));
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(error("arcfase").contains("did you mean `arcface`?"));
        assert!(error("zzz").contains("losses: softmax, focal"));
        let key = error("so-softmax:lambdap=3");
        assert!(
            key.contains("did you mean `lambda_p`?") && key.contains("lambda_n=32"),
            "{key}"
        );
        assert!(error("cosface:s=-3").contains("out of range: s > 0"));
        assert!(error("cosface:s=abc").contains("is not a number"));
        assert!(error("cosface:s=nan").contains("out of range"));
        assert!(error("cosface:m=28.6").contains("not an angle"));
        assert!(error("sphereface:m=1.5").contains("whole number"));
        assert!(error("sml:form=round").contains("class, sample, pair, batch"));
        assert!(error("cosface:s").contains("key=value"));
        assert!(error("x*cosface").contains("not a number"));
        assert!(error("-1*cosface").contains("positive"));
        assert!(error("").contains("the name is missing"));
        assert!(error("softmax + ").contains("the name is missing"));
        assert!(error("cosface:m=auto").contains("cannot be chosen automatically"));
    }

    #[test]
    fn degrees_are_recognised() {
        let text = error("arcface:m=28.6");
        assert!(text.contains("m=0.4992 or m=28.6deg"), "{text}");
        let spec: Spec = "arcface:m=30deg".parse().unwrap();
        approx::assert_relative_eq!(
            spec.terms()[0].values().number("m"),
            std::f64::consts::FRAC_PI_6
        );
    }

    #[test]
    fn auto_is_resolved_with_its_reasons() {
        let spec: Spec = "so-softmax:lambda_p=auto,lambda_n=auto".parse().unwrap();
        let (resolved, notes) = spec.resolve(10, 64).unwrap();
        let values = resolved.terms()[0].values();
        assert_eq!(
            (values.number("lambda_p"), values.number("lambda_n")),
            (38.0, 38.0)
        );
        assert!(
            notes[0]
                .to_string()
                .contains("lambda_p = 38: at its optimum"),
            "{}",
            notes[0]
        );
        assert_eq!(resolved.to_string().parse::<Spec>().unwrap(), resolved);
        assert_eq!(resolved.to_string(), "so-softmax:lambda_p=38,lambda_n=38");

        let (resolved, _) = "so-softmax:lambda_n=20,lambda_p=auto"
            .parse::<Spec>()
            .unwrap()
            .resolve(10, 64)
            .unwrap();
        assert_eq!(resolved.terms()[0].values().number("lambda_p"), 56.0);

        let (resolved, notes) = Spec::automatic("normface")
            .unwrap()
            .resolve(751, 512)
            .unwrap();
        assert_eq!(resolved.terms()[0].values().number("s"), 14.0);
        assert_eq!(notes.len(), 1);
        assert!(matches!(
            spec.resolve(1, 64),
            Err(Error::TooFewClasses { classes: 1 })
        ));
    }
}
