//! Hashes of files: hexadecimal in mail and AIR records, base64 in file records (`record-schemas.md` section 5.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde_json::{Value, json};

use super::field::{Form, Model};
use super::reader::{DriftKind, Reader};
use super::schema::Shapes;
use super::text::Text;

/// Bytes of the digests that appear: MD5, SHA-1, SHA-256.
const DIGEST_BYTES: [usize; 3] = [16, 20, 32];

/// Bytes of a SHA-256, the only digest seen in base64.
const SHA256_BYTES: usize = 32;

/// A hash, of whatever algorithm. The clean form writes it in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    text: Text,
    hex: Option<Box<str>>,
}

impl Hash {
    /// The hash in lower-case hexadecimal. `None`: the text is no hash.
    pub fn hex(&self) -> Option<&str> {
        self.hex.as_deref()
    }

    /// The text as the record holds it.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }
}

/// `text` in lower-case hexadecimal, if it is a digest in hexadecimal or a SHA-256 in base64.
fn hex(text: &str) -> Option<String> {
    if text.bytes().all(|b| b.is_ascii_hexdigit()) && DIGEST_BYTES.iter().any(|bytes| bytes * 2 == text.len()) {
        return Some(text.to_ascii_lowercase());
    }
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == SHA256_BYTES)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Model for Hash {
    fn shape(_shapes: &mut Shapes) -> Value {
        json!({ "type": "string", "description": "lower-case hexadecimal" })
    }

    fn read(json: &str, reader: &mut Reader) -> Option<Self> {
        let text = Text::read(json, reader)?;
        let hex = hex(text.as_str().trim()).map(String::into_boxed_str);
        if hex.is_none() && !text.as_str().is_empty() {
            reader.drifted(DriftKind::Unreadable);
        }
        Some(Hash { text, hex })
    }

    fn write(&self, form: Form, out: &mut Vec<u8>) {
        match &self.hex {
            Some(hex) if form == Form::Clean => {
                out.push(b'"');
                out.extend_from_slice(hex.as_bytes());
                out.push(b'"');
            }
            _ => self.text.write(form, out),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        if self.hex.is_some() { self.hex == other.hex } else { self.text == other.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_and_base64_meet() {
        let upper = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        assert_eq!(hex(upper).unwrap(), upper.to_ascii_lowercase());
        assert_eq!(hex("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").unwrap(), upper.to_ascii_lowercase());
        assert_eq!(hex("D41D8CD98F00B204E9800998ECF8427E").unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
        for other in ["", "abc", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "bm90IGEgaGFzaA==", &upper[1..]] {
            assert_eq!(hex(other), None, "{other}");
        }
    }

    #[test]
    fn the_original_text_stays() {
        let json = "\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
        let hash = Hash::read(json, &mut Reader::new()).unwrap();
        let mut out = Vec::new();
        hash.write(Form::Wire, &mut out);
        assert_eq!(out, json.as_bytes());
        let mut reader = Reader::new();
        let odd = Hash::read("\"not a hash\"", &mut reader).unwrap();
        assert_eq!((odd.hex(), odd.as_str(), reader.into_drift().len()), (None, "not a hash", 1));
    }
}
