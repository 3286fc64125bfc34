//! The parser of an `EventSource`. The code follows WHATWG HTML, sections 9.2.5 (parsing) and 9.2.6 (interpretation),
//! line by line. The input may be split into any pieces.

/// An event as the page receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dispatched {
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) last_id: String,
}

#[derive(Default)]
pub(crate) struct EventSource {
    line: Vec<u8>,
    after_cr: bool,
    data: String,
    kind: String,
    id: String,
    pub(crate) last_id: String,
    pub(crate) reconnection_ms: Option<u64>,
    pub(crate) comments: usize,
    pub(crate) dispatched: Vec<Dispatched>,
}

impl EventSource {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    self.process(&line);
                }
                byte => self.line.push(byte),
            }
        }
    }

    fn process(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", _)) => self.comments += 1,
            Some((field, value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(line, ""),
        }
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => self.kind = value.to_owned(),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.reconnection_ms = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_id.clone_from(&self.id);
        let (mut data, kind) = (std::mem::take(&mut self.data), std::mem::take(&mut self.kind));
        if data.is_empty() {
            return;
        }
        data.pop();
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        self.dispatched.push(Dispatched { kind, data, last_id: self.last_id.clone() });
    }
}
