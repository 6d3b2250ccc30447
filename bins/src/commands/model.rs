//! `hypersphere model`: the networks.

use crate::cli::Model;
use crate::commands::model_export;
use anyhow::Result;
use engine::Params;
use nn::{MODELS, Scope};

/// Lists the networks, shows or exports one.
///
/// # Errors
/// If there is no network of that name, or it cannot be exported.
pub fn run(command: &Model) -> Result<()> {
    match command {
        Model::List => {
            for model in MODELS {
                println!(
                    "{:<15} {}\n{:15} {}\n",
                    model.name, model.description, "", model.source
                );
            }
        }
        Model::Summary { name, embed_dim } => {
            let mut params = Params::<f32>::new();
            let mut root = Scope::root(&mut params, 0);
            let scope = &mut root.child("backbone");
            let net = nn::Model::find(name)?.build(scope, [28, 28, 1], Some(*embed_dim))?;
            println!("{}", net.summary(&params));
        }
        Model::Export(options) => model_export::run(options)?,
    }
    Ok(())
}
