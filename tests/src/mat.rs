//! MATLAB's `.mat` files of version 5, written without compression.

fn element(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut out = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
    out.extend(content);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// An array of one line.
fn array(name: &str, class: u8, elements: usize, content: &[u8]) -> Vec<u8> {
    let parts = [
        element(6, &[class, 0, 0, 0, 0, 0, 0, 0]),
        element(
            5,
            &[1u32.to_le_bytes(), (elements as u32).to_le_bytes()].concat(),
        ),
        element(1, name.as_bytes()),
        content.to_vec(),
    ];
    element(14, &parts.concat())
}

/// Numbers; those of a matrix column by column. What is in a cell has no name.
pub fn numbers(name: &str, values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    array(name, 6, values.len(), &element(9, &bytes))
}

/// A text.
pub fn text(text: &str) -> Vec<u8> {
    array("", 4, text.len(), &element(16, text.as_bytes()))
}

/// Cells of any arrays.
pub fn cells(name: &str, cells: &[Vec<u8>]) -> Vec<u8> {
    array(name, 1, cells.len(), &cells.concat())
}

/// A file of these variables.
pub fn file(variables: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![b' '; 124];
    out.extend([0, 1, b'I', b'M']);
    out.extend(variables.concat());
    out
}
