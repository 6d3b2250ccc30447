//! Trains with the operation and the loss of this crate: a linear layer from 8 numbers to
//! embeddings of 4, on three classes of noise around three points.

use engine::rng::Key;
use engine::{Params, Result, Tensor, Var};
use own_op::{Fading, loss};

fn main() -> Result<()> {
    let (classes, samples, inputs, dim) = (3, 90, 8, 4);
    let mut rng = Key::new(1).named("own-op").rng();
    let labels: Vec<usize> = (0..samples).map(|i| i % classes).collect();
    let means = Tensor::<f32>::from_fn([classes, inputs], |_| rng.normal() as f32);
    let x = Tensor::from_fn([samples, inputs], |i| {
        let mean = means.data()[labels[i / inputs] * inputs + i % inputs];
        mean + 0.7 * rng.normal() as f32
    });
    let mut params = Params::new();
    let layer = Tensor::from_fn([dim, inputs], |_| 0.3 * rng.normal() as f32);
    let layer = params.add("layer", layer);
    let weights = Tensor::from_fn([classes, dim], |_| rng.normal() as f32);
    let weights = params.add("weights", weights);

    let x = Var::constant(x);
    for step in 0..=200 {
        let embeddings = x.matmul_nt(&params.var(layer));
        let margin = Fading { s: 8.0, m: 0.3 };
        let value = loss(&embeddings, &params.var(weights), labels.clone(), margin)?;
        if step % 50 == 0 {
            println!("step {step:>3}: loss {:.4}", value.value().item());
        }
        value.backward_into(&mut params)?;
        drop((value, embeddings)); // the graph is gone, so the parameters can be written in place
        let (values, gradients, _) = params.split();
        for (w, g) in values.iter_mut().zip(gradients) {
            *w -= 0.1 * g;
        }
        params.clear_grads();
    }
    Ok(())
}
