//! The fast path for pipelined lines: runs of lines that are exactly `day`, `date` or `time` and an LF.
//!
//! A client that pipelines sends thousands of these in one read. Answering a run costs one look at the clock, one growth
//! of the output and, for each line, two comparisons and a copy of fixed size. The result is byte for byte that of the
//! slow path in [`ServerSession::receive`](super::ServerSession::receive), at a tenth of the cost, so that file can be
//! understood without this one.

use super::{OWED_MAX, Respond};

/// The size of a block, which holds the replies of most formats.
const BLOCK: usize = 16;
/// The most lines of one run: enough to share its fixed costs, and few enough that their replies stay in the cache.
const RUN_MAX: usize = 256;
/// The length of the shortest line.
const LINE_MIN: usize = "day\n".len();

/// A reply with its LF, in a block that is copied whole. A length of 0 marks a reply that is too long for a block.
#[derive(Clone, Debug)]
struct ShortReply {
    block: [u8; BLOCK],
    length: usize,
}

impl ShortReply {
    fn new(text: &str) -> Self {
        let mut block = [b'\n'; BLOCK];
        match block.get_mut(..text.len()) {
            Some(start) if text.len() < BLOCK => start.copy_from_slice(text.as_bytes()),
            _ => return ShortReply { block, length: 0 },
        }
        ShortReply { block, length: text.len() + 1 }
    }
}

/// The replies to the lines of the fast path.
#[derive(Clone, Debug)]
pub(super) struct ShortReplies {
    day: ShortReply,
    date: ShortReply,
    time: ShortReply,
}

impl ShortReplies {
    /// From the texts of the replies to `day`, `date` and `time`.
    pub(super) fn new([day, date, time]: [&str; 3]) -> Self {
        ShortReplies { day: ShortReply::new(day), date: ShortReply::new(date), time: ShortReply::new(time) }
    }

    /// Not inlined: the loop needs the registers that its callers use.
    #[inline(never)]
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        let (mut taken, mut count, mut end) = (0, 0, out.len());
        // Room for the whole run, checked and grown once. The bytes of a block beyond its reply are overwritten by the
        // next one.
        let lines = (input.len() / LINE_MIN + 1).min(RUN_MAX);
        out.resize(end + lines * BLOCK, 0);
        while end < OWED_MAX
            && let Some((reply, length)) = find(&input[taken..], [&self.time, &self.date, &self.day])
            && reply.length > 0
            && let Some(room) = out.get_mut(end..end + BLOCK)
        {
            room.copy_from_slice(&reply.block);
            end += reply.length;
            taken += length;
            count += 1;
        }
        out.truncate(end);
        (taken, count)
    }
}

/// Which of `time`, `date` and `day` is the line that `input` starts with: its value, and its length with the LF.
#[inline(always)]
fn find<T>(input: &[u8], [time, date, day]: [T; 3]) -> Option<(T, usize)> {
    /// Clears the bit that distinguishes lower case from upper. Of all bytes, only the two cases of a letter become the
    /// letters in the names below.
    const FOLD: u64 = 0xDF_DF_DF_DF;
    const fn line(name: &[u8; 4]) -> u64 {
        u32::from_le_bytes(*name) as u64 | (b'\n' as u64) << 32
    }
    let word = match input.first_chunk() {
        Some(window) => u64::from_le_bytes(*window),
        None => input.iter().rfold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    let five = word & (0xFF << 32 | FOLD);
    if five == const { line(b"TIME") } {
        Some((time, 5))
    } else if five == const { line(b"DATE") } {
        Some((date, 5))
    } else if word & 0xFF_DF_DF_DF == const { u32::from_le_bytes(*b"DAY\n") as u64 } {
        Some((day, 4))
    } else {
        None
    }
}

/// Answers the run of short lines that `input` starts with, at most [`RUN_MAX`], and none once [`OWED_MAX`] bytes are owed.
/// Returns the number of bytes and of lines taken. The session must hold nothing, and its last line must be complete.
pub(super) fn answer(input: &[u8], responder: &mut impl Respond, out: &mut Vec<u8>) -> (usize, u64) {
    if find(input, [(); 3]).is_none() {
        return (0, 0);
    }
    let Some(time) = responder.formatted_time(None) else { return (0, 0) };
    let (taken, count) = time.short_replies().answer(input, out);
    if count > 0 && responder.wants_names() {
        let lines = input[..taken].trim_ascii_end();
        lines.split(|&byte| byte == b'\n').for_each(|name| responder.executed(name, true));
    }
    (taken, count)
}
