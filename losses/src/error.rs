//! What can be wrong with a spec, or with the tensors a loss is given.

use engine::Shape;

/// The result of anything that reads a spec or computes a loss.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong in this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The text of a spec does not have the form of one.
    #[error(
        "`{text}` is not a loss: {reason}\n  \
         a loss is `name` or `name:key=value,key=value`; several are added with weights: \
         `so-softmax:m=0.3 + 0.1*center`"
    )]
    Syntax {
        /// The part that could not be read.
        text: String,
        /// What is wrong with it.
        reason: String,
    },

    /// No loss has this name.
    #[error(
        "there is no loss called `{name}`{}\n  losses: {known}",
        meant(suggestion)
    )]
    UnknownLoss {
        /// The name given.
        name: String,
        /// The name that comes closest, if any is close.
        suggestion: Option<String>,
        /// The names there are.
        known: String,
    },

    /// The loss has no parameter of this name.
    #[error(
        "`{loss}` has no parameter `{key}`{}\n  parameters: {known}",
        meant(suggestion)
    )]
    UnknownKey {
        /// The loss.
        loss: &'static str,
        /// The key given.
        key: String,
        /// The key that comes closest, if any is close.
        suggestion: Option<String>,
        /// The keys there are, with their defaults.
        known: String,
    },

    /// The value of a parameter is not one it can take.
    #[error("`{loss}`: {key}={value}: {reason}")]
    BadValue {
        /// The loss.
        loss: &'static str,
        /// The parameter.
        key: &'static str,
        /// The value given.
        value: String,
        /// Why not, and what would do.
        reason: String,
    },

    /// Margins shall rise, and there is none.
    #[error(
        "`{spec}` has no margin that could rise during a warm-up\n  \
         losses with one are, for example, arcface, cosface, combined and so-softmax; sphereface and \
         l-softmax anneal theirs by themselves (`base`, `gamma`, `power`, `lambda_min`), and the \
         margins of triplet, contrastive and the like have no value at which they ask for nothing"
    )]
    NoMargin {
        /// The losses.
        spec: String,
    },

    /// Classes shall be sampled, and the loss needs them all.
    #[error(
        "`{spec}` cannot learn from a sample of the classes: {reason}\n  \
         losses whose class weights are all they have for each class can, such as softmax, cosface, \
         arcface and so-softmax, alone or beside losses of samples like triplet"
    )]
    NotSampled {
        /// The losses.
        spec: String,
        /// What stands against it.
        reason: String,
    },

    /// A classifier over fewer than two classes.
    #[error("a loss over {classes} class(es): at least two are needed to tell them apart")]
    TooFewClasses {
        /// The number of classes.
        classes: usize,
    },

    /// An input tensor is not there.
    #[error("`{spec}` needs a tensor `{name}` of shape {expected}; there are: {found}")]
    MissingTensor {
        /// The loss.
        spec: String,
        /// The tensor looked for.
        name: &'static str,
        /// The shape it should have.
        expected: String,
        /// The names there are.
        found: String,
    },

    /// An input tensor has the wrong shape.
    #[error("the tensor `{name}` has shape {found}, expected {expected}")]
    BadShape {
        /// The tensor.
        name: String,
        /// The shape it should have.
        expected: String,
        /// The shape it has.
        found: Shape,
    },

    /// A label names no class.
    #[error(
        "labels[{position}] is {label}; with {classes} classes a label is 0 to {}",
        classes.saturating_sub(1)
    )]
    Label {
        /// Which label.
        position: usize,
        /// Its value.
        label: i64,
        /// The number of classes.
        classes: usize,
    },

    /// The number of labels is not that of the embeddings.
    #[error("{labels} labels for {samples} embeddings: there must be one for each")]
    LabelCount {
        /// The number of labels.
        labels: usize,
        /// The number of embeddings.
        samples: usize,
    },

    /// The engine refused an operation.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

fn meant(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map(|s| format!("; did you mean `{s}`?"))
        .unwrap_or_default()
}

/// The known name that comes closest to `name`, if any is close enough to be meant.
pub(crate) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // An abbreviation is closer than its letters tell: `margin` means `m`.
    let similarity = |k: &str| match strsim::jaro_winkler(name, k) {
        similarity if name.starts_with(k) => similarity.max(0.9),
        similarity => similarity,
    };
    known
        .map(|k| (similarity(k), k))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_string())
}
