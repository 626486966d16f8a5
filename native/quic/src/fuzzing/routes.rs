use bytes::Bytes;

use super::input::Input;
use crate::engine::{FramePrefix, MAX_PREFIX, Route, Routes};

/// The prefix table agrees with a list that is searched from end to end.
/// Bytes: operations `0 whole fragment` (add), `1 index` (remove), else a datagram to find.
pub(super) fn routes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut table = Routes::default();
    let mut model: Vec<(FramePrefix, u32)> = Vec::new();
    let mut next = 0;
    while !input.is_empty() {
        match input.u8() % 4 {
            0 => {
                let [whole, fragment] = [(); 2].map(|()| Bytes::copy_from_slice(input.short()));
                let prefix = FramePrefix { whole, fragment };
                next += 1;
                let added = table.add(&prefix, |fragment| Route::Forward { rule: next, fragment });
                assert_eq!(added, may_add(&model, &prefix));
                if added {
                    model.push((prefix, next));
                }
            }
            1 if !model.is_empty() => {
                let (prefix, _) = model.swap_remove(usize::from(input.u8()) % model.len());
                table.remove(&prefix);
            }
            _ => {
                let datagram = input.short();
                assert_eq!(table.find(datagram), find(&model, datagram));
            }
        }
        assert_eq!(table.all().count(), 2 * model.len());
    }
    for (prefix, _) in &model {
        assert_eq!(table.find(&prefix.whole), find(&model, &prefix.whole));
    }
}

fn may_add(model: &[(FramePrefix, u32)], new: &FramePrefix) -> bool {
    let free = |bytes: &Bytes| {
        (1..=MAX_PREFIX).contains(&bytes.len())
            && !model.iter().any(|(known, _)| known.whole == bytes || known.fragment == bytes)
    };
    free(&new.whole) && free(&new.fragment) && new.whole != new.fragment
}

fn find(model: &[(FramePrefix, u32)], datagram: &[u8]) -> Option<(Route, usize)> {
    model
        .iter()
        .flat_map(|(prefix, rule)| [(&prefix.whole, *rule, false), (&prefix.fragment, *rule, true)])
        .filter(|(bytes, ..)| datagram.starts_with(bytes))
        .max_by_key(|(bytes, ..)| bytes.len())
        .map(|(bytes, rule, fragment)| (Route::Forward { rule, fragment }, bytes.len()))
}
