//! What every HTML file of the program needs: texts that cannot break out of their place, and
//! pictures and sounds inside the file.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A text as it stands between tags or in an attribute, of HTML and of XML, which has no control
/// characters at all.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Content as an address, such as `data:image/png;base64,…`.
pub fn data_uri(kind: &str, content: &[u8]) -> String {
    format!("data:{kind};base64,{}", BASE64_STANDARD.encode(content))
}
