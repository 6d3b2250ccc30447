//! What is left of a training that has come to a number that is not finite.

use super::Trainer;
use crate::files;
use crate::run_dir::RunDir;
use anyhow::Result;
use data::Batch;
use engine::watch;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use std::collections::HashMap;

/// Training stopped because a number is not finite any more: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Diverged(String);

/// Where a step noticed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFinite {
    Loss,
    Gradient,
}

impl NotFinite {
    fn name(self) -> &'static str {
        match self {
            NotFinite::Loss => "the loss",
            NotFinite::Gradient => "the gradient",
        }
    }
}

impl From<NotFinite> for Diverged {
    fn from(found: NotFinite) -> Self {
        Diverged(format!(
            "training diverged: {} is not a finite number in the first steps",
            found.name()
        ))
    }
}

impl Trainer {
    /// Repeats the step under a watch, keeps its batch, and says what is known.
    ///
    /// # Errors
    /// If the disk does not take the batch.
    pub(super) fn post_mortem(
        &mut self,
        found: NotFinite,
        batch: &Batch,
        lr: f64,
        run: &mut RunDir,
    ) -> Result<Diverged> {
        let step = self.place.step;
        let origin = self.origin(batch);
        let path = run.path().join("ckpt/diverged.safetensors");
        let facts = [
            ("found", found.name().to_string()),
            ("origin", origin.clone()),
            ("epoch", (self.place.epoch + 1).to_string()),
            ("step", step.to_string()),
            ("lr", lr.to_string()),
            ("examples", json!(batch.indices).to_string()),
        ];
        let file = batch_file(batch, facts)?;
        files::write(&path, &file)?;
        let kept = match run.last_state().exists() {
            true => format!(
                "the weights before it are in {}",
                run.last_weights().display()
            ),
            false => "there was no checkpoint before it".into(),
        };
        let message = format!(
            "training diverged: {} of step {step} is not a finite number (learning rate {lr:.3e}).\n  \
             First: {origin}.\n  \
             Kept: the batch is in {}; {kept}.\n  \
             Try a smaller `lr`, `clip_norm = 5`, or a smaller margin or scale.",
            found.name(),
            path.display(),
        );
        run.log(&message)?;
        run.event(
            "diverged",
            json!({ "step": step, "lr": lr, "found": found.name(), "origin": origin }),
        )?;
        Ok(Diverged(message))
    }

    /// Where the first number that is not finite comes from.
    fn origin(&mut self, batch: &Batch) -> String {
        if let Some(at) = batch.images.iter().position(|x| !x.is_finite()) {
            let size: usize = batch.shape[1..].iter().product();
            let example = batch.indices.get(at / size);
            return format!(
                "the batch itself: training example {} has such a value",
                example.copied().unwrap_or_default()
            );
        }
        let broken = self.params.iter().find(|(id, _)| {
            let value = self.params.value(*id);
            value.data().iter().any(|x| !x.is_finite())
        });
        if let Some((_, param)) = broken {
            return format!("the parameter `{}` has such a value", param.name());
        }
        let (repeated, culprit) = watch::first_non_finite(|| {
            let forward = self.forward(batch)?;
            forward.loss.backward_into(&mut self.params)?;
            anyhow::Ok(())
        });
        match (repeated, culprit) {
            (_, Some(culprit)) => culprit.to_string(),
            (Err(e), None) => format!("unknown, since the step cannot be repeated: {e:#}"),
            (Ok(()), None) => "unknown: repeated, the step has no such number".into(),
        }
    }
}

/// A batch as `hypersphere model eval` takes it: `input` [N, H, W, C] and `labels` [N].
fn batch_file<const N: usize>(batch: &Batch, facts: [(&str, String); N]) -> Result<Vec<u8>> {
    let labels: Vec<i64> = batch.labels.iter().map(|&l| l as i64).collect();
    let input = bytemuck::cast_slice(&batch.images);
    let tensors = [
        (
            "input",
            TensorView::new(Dtype::F32, batch.shape.to_vec(), input)?,
        ),
        (
            "labels",
            TensorView::new(
                Dtype::I64,
                vec![labels.len()],
                bytemuck::cast_slice(&labels),
            )?,
        ),
    ];
    let facts = facts.map(|(key, value)| (key.to_string(), value));
    Ok(safetensors::serialize(tensors, Some(HashMap::from(facts)))?)
}
