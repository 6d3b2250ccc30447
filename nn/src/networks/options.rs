//! What the user of a network may choose.

use serde::{Deserialize, Serialize};

/// Choices that a network leaves open; by default it is as published.
///
/// ```
/// use nn::networks::{ModelOptions, Pooling};
/// let options: ModelOptions =
///     serde_json::from_str(r#"{ "pooling": "gem", "last_stride": 1, "neck": true }"#)?;
/// assert_eq!(options.pooling, Some(Pooling::Gem));
/// assert_eq!(options.embedding_dim, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelOptions {
    /// The length of an embedding; the network's own if not set.
    pub embedding_dim: Option<usize>,
    /// How the pixels of the last layer become one vector, in networks that pool there.
    pub pooling: Option<Pooling>,
    /// The stride of the fourth stage of a residual network, 1 or 2 (as published). With 1 the
    /// last image is twice as large, which helps to tell persons and vehicles apart (Luo et al.
    /// 2019, arXiv:1903.07071).
    pub last_stride: Option<usize>,
    /// The probability of dropout in front of the linear layer of the embedding, or behind the
    /// pooling where there is none.
    pub dropout: f64,
    /// Whether batch normalisation without shift ends the network; see
    /// [`BatchNorm::fixed_shift`](crate::layers::BatchNorm::fixed_shift).
    pub neck: bool,
}

/// How the pixels of an image become one vector of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// [`GlobalAvgPool`](crate::layers::GlobalAvgPool).
    Avg,
    /// [`GlobalMaxPool`](crate::layers::GlobalMaxPool).
    Max,
    /// [`GemPool`](crate::layers::GemPool).
    Gem,
    /// [`MeanMaxPool`](crate::layers::MeanMaxPool).
    MeanMax,
}
