//! Features as tensors in a safetensors file.

use super::{Features, Origin, Wrong, numbers, wrong};
use crate::source::Pair;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What files say of their items.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Items {
    names: Vec<String>,
    classes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

/// The file, with more tensors in it.
pub fn encode(features: &Features, more: Vec<(&str, TensorView<'_>)>) -> Vec<u8> {
    let items = Items {
        names: features.names.clone(),
        classes: features.classes.clone(),
        origin: features.origin.clone(),
    };
    let items = serde_json::to_string(&items).expect("text is always JSON");
    let metadata = HashMap::from([("items".to_string(), items)]);
    let shape = vec![features.len(), features.dim];
    let vectors = view(Dtype::F32, shape, bytemuck::cast_slice(&features.vectors));
    let mut tensors = vec![("features", vectors)];
    for (name, numbers) in [("labels", &features.labels), ("cameras", &features.cameras)] {
        if !numbers.is_empty() {
            let bytes = bytemuck::cast_slice(numbers);
            tensors.push((name, view(Dtype::I64, vec![numbers.len()], bytes)));
        }
    }
    let bytes = |(name, marked): (_, &[bool])| {
        let bytes: Vec<u8> = marked.iter().map(|&is| u8::from(is)).collect();
        (name, bytes)
    };
    let roles = features.roles().map(bytes);
    for (name, bytes) in roles.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        tensors.push((name, view(Dtype::BOOL, vec![bytes.len()], bytes)));
    }
    tensors.extend(more);
    safetensors::serialize(tensors, Some(metadata)).expect("each tensor has its own name")
}

/// Numbers as a tensor of a file.
///
/// # Panics
/// If the bytes are not those of the shape.
pub fn view(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> TensorView<'_> {
    TensorView::new(dtype, shape, bytes).expect("the shape fits")
}

/// The features of a file.
pub fn decode(bytes: &[u8]) -> Result<Features, Wrong> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let items = header.metadata().as_ref().and_then(|m| m.get("items"));
    let items: Items = match items {
        None => Items::default(),
        Some(items) => serde_json::from_str(items)
            .map_err(|e| wrong("metadata `items`", "names and classes", e.to_string()))?,
    };
    let view = file.tensor("features").map_err(|_| {
        let mut names = file.names();
        names.sort_unstable();
        wrong("the tensors", "`features` [N, D]", names.join(", "))
    })?;
    let &[_, dim] = view.shape() else {
        let found = format!("{:?}", view.shape());
        return Err(wrong("`features`", "the shape [N, D]", found));
    };
    let vectors = match view.dtype() {
        Dtype::F32 => numbers::<f32, 4>(view.data(), f32::from_le_bytes),
        Dtype::F64 => numbers(view.data(), |b| f64::from_le_bytes(b) as f32),
        other => return Err(wrong("`features`", "F32 or F64", format!("{other:?}"))),
    };
    let labels = whole_numbers(&file, "labels")?.unwrap_or_default();
    Ok(Features {
        dim,
        vectors,
        names: items.names,
        labels,
        classes: items.classes,
        cameras: whole_numbers(&file, "cameras")?.unwrap_or_default(),
        is_query: flags(&file, "is_query")?,
        is_gallery: flags(&file, "is_gallery")?,
        origin: items.origin,
    })
}

fn broken(e: SafeTensorError) -> Wrong {
    wrong("the header", "that of a safetensors file", e.to_string())
}

/// The pairs among `items` items that a file asks to compare.
pub fn pairs(bytes: &[u8], items: usize) -> Result<Vec<Pair>, Wrong> {
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let Ok(view) = file.tensor("pairs") else {
        return Ok(Vec::new());
    };
    let &[count, 2] = view.shape() else {
        let found = format!("{:?}", view.shape());
        return Err(wrong("`pairs`", "the shape [P, 2]", found));
    };
    let places = integers("pairs", &view)?;
    let each = |name: &str| {
        let numbers = whole_numbers(&file, name)?;
        match numbers
            .as_ref()
            .is_none_or(|numbers| numbers.len() == count)
        {
            true => Ok(numbers),
            false => Err(wrong(
                format!("`{name}`"),
                "one number for each pair",
                "others",
            )),
        }
    };
    let same =
        each("same")?.ok_or_else(|| wrong("the tensors", "`same` [P] beside `pairs`", "none"))?;
    let folds = each("fold")?.unwrap_or(vec![0; count]);
    let pair = |i: usize| {
        let place = |at: i64| {
            let place = usize::try_from(at).ok().filter(|&place| place < items);
            let expected = || format!("places of {items} items");
            place.ok_or_else(|| wrong(format!("pair {i}"), expected(), at.to_string()))
        };
        let fold = usize::try_from(folds[i]);
        Ok(Pair {
            places: [place(places[2 * i])?, place(places[2 * i + 1])?],
            same: same[i] != 0,
            fold: fold.map_err(|_| {
                let found = folds[i].to_string();
                wrong(format!("the fold of pair {i}"), "0 or more", found)
            })?,
        })
    };
    (0..count).map(pair).collect()
}

/// The marks of a tensor of one axis; none if there is no such tensor.
fn flags(file: &SafeTensors<'_>, name: &str) -> Result<Vec<bool>, Wrong> {
    let numbers = whole_numbers(file, name)?.unwrap_or_default();
    Ok(numbers.into_iter().map(|number| number != 0).collect())
}

/// The numbers of a tensor of one axis, if there is such a tensor.
pub fn whole_numbers(file: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<i64>>, Wrong> {
    match file.tensor(name) {
        Err(_) => Ok(None),
        Ok(view) if view.shape().len() == 1 => integers(name, &view).map(Some),
        Ok(view) => {
            let found = format!("{:?}", view.shape());
            Err(wrong(format!("`{name}`"), "the shape [N]", found))
        }
    }
}

/// Whole numbers, whatever their type.
fn integers(name: &str, view: &TensorView<'_>) -> Result<Vec<i64>, Wrong> {
    Ok(match view.dtype() {
        Dtype::I64 => numbers(view.data(), i64::from_le_bytes),
        Dtype::I32 => numbers(view.data(), |b| i32::from_le_bytes(b).into()),
        Dtype::U8 | Dtype::BOOL => view.data().iter().map(|&byte| byte.into()).collect(),
        other => {
            let found = format!("{other:?}");
            return Err(wrong(format!("`{name}`"), "I64, I32, U8 or BOOL", found));
        }
    })
}
