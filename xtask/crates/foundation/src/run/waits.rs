//! Condenses the output of `talosctl cluster create`: each wait is one line once it has
//! ended. What a wait printed until then, and the table at the end, only go to
//! the log.

/// Filters lines of any chunks.
#[derive(Debug, Default)]
pub(super) struct WaitFilter {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The previous line was hidden, and so is what belongs to it.
    in_hidden: bool,
    in_table: bool,
}

impl WaitFilter {
    /// Returns the lines of `chunk` that are shown, whole lines only.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.partial.extend_from_slice(chunk);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.partial.split_off(end + 1);
        let lines = std::mem::replace(&mut self.partial, rest);
        let mut shown = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if self.is_shown(&String::from_utf8_lossy(line)) {
                shown.extend_from_slice(line);
            }
        }
        shown
    }

    /// What is left at the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let line = std::mem::take(&mut self.partial);
        if self.is_shown(&String::from_utf8_lossy(&line)) {
            line
        } else {
            Vec::new()
        }
    }

    fn is_shown(&mut self, line: &str) -> bool {
        let text = line.trim_end();
        self.in_table |= text.starts_with("PROVISIONER ");
        if self.in_table || text.is_empty() {
            return false;
        }
        // Lines of an error have the details of the line above.
        if text.starts_with([' ', '\t']) {
            return !self.in_hidden;
        }
        let is_wait = text.starts_with("waiting for ");
        let is_over = text.ends_with(": OK");
        self.in_hidden = is_wait && text.contains(": ") && !is_over;
        !self.in_hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with talosctl 1.12.0.
    const OUTPUT: &str = "creating worker nodes\nwaiting for Talos API (to bootstrap the cluster)\n\
        waiting for apid to be ready: ...\nwaiting for apid to be ready: 1 error occurred:\n\
        \t* 172.20.0.3: rpc error: code = Unavailable\nwaiting for apid to be ready: OK\n\
        waiting for kube-proxy to report ready: SKIP\n\nmerging kubeconfig into \"/h/.kube/config\"\n\
        PROVISIONER           qemu\nNODES:\n\nNAME   TYPE\n";

    #[test]
    fn each_wait_is_one_line_however_it_is_cut() {
        let shown = "creating worker nodes\nwaiting for Talos API (to bootstrap the cluster)\n\
            waiting for apid to be ready: OK\nmerging kubeconfig into \"/h/.kube/config\"\n";
        for size in [1, 7, OUTPUT.len()] {
            let mut filter = WaitFilter::default();
            let mut out = Vec::new();
            for chunk in OUTPUT.as_bytes().chunks(size) {
                out.extend(filter.feed(chunk));
            }
            out.extend(filter.finish());
            assert_eq!(String::from_utf8(out).unwrap(), shown, "chunks of {size}");
        }
    }

    #[test]
    fn other_errors_are_shown_whole() {
        let text = "bootstrap error: 2 error(s) occurred:\n\tcontext canceled\n";
        assert_eq!(WaitFilter::default().feed(text.as_bytes()), text.as_bytes());
    }
}
