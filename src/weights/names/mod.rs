//! Other libraries' names for the tensors of timm's architectures: one table a scheme, read from top to bottom.
//!
//! A rule is a pair, what a name looks like and what timm calls it; an empty second part: timm has no such tensor. In the first
//! part `{s}` stands for a number, and `*`, at its end, for what is left. In the second part:
//!
//! | text | stands for |
//! |---|---|
//! | `{s}`, `{s-1}`, `{s+1}` | the number |
//! | `[b]`, `[b-1]` | "stage.block" of the b-th block of the network, all stages counted through |
//! | `<x\|y>` | `x` in a depthwise-separable block, `y` in an inverted residual one |
//! | `*` | what was left |

mod efficientnet_pytorch;
mod originals;
mod torchvision;
mod transformers;

use crate::tensors::Shapes;
use std::collections::{BTreeMap, BTreeSet};

/// From a name's pattern to timm's.
type Rule = (&'static str, &'static str);

/// One library's names for one family.
pub(super) struct Scheme {
    /// Whose names they are, in words.
    pub name: &'static str,
    /// What may stand before all names but the classifier's.
    prefix: &'static [&'static str],
    rules: &'static [Rule],
    /// Added to every running variance, because the library's ε is greater by this than timm's.
    pub variance: fn(&Target) -> f64,
}

fn nothing(_: &Target) -> f64 {
    0.0
}

/// timm's own names, and those that are the same: torchvision's ResNet.
const TIMM: Scheme = Scheme {
    name: "timm",
    prefix: &[],
    rules: &[("*", "*")],
    variance: nothing,
};

fn schemes() -> impl Iterator<Item = &'static Scheme> {
    [
        std::slice::from_ref(&TIMM),
        torchvision::SCHEMES,
        transformers::SCHEMES,
        efficientnet_pytorch::SCHEMES,
        originals::SCHEMES,
    ]
    .into_iter()
    .flatten()
}

/// The tensors an architecture has.
pub(super) struct Target<'a> {
    pub shapes: &'a Shapes,
    /// "stage.block" of the blocks named `blocks.stage.block`, in order.
    blocks: Vec<String>,
}

impl<'a> Target<'a> {
    pub fn new(shapes: &'a Shapes) -> Self {
        let numbers = |name: &String| -> Option<(usize, usize)> {
            let mut parts = name.strip_prefix("blocks.")?.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        };
        let blocks: BTreeSet<_> = shapes.keys().filter_map(numbers).collect();
        Self {
            shapes,
            blocks: blocks.iter().map(|(s, b)| format!("{s}.{b}")).collect(),
        }
    }

    /// How many blocks there are of those named `blocks.stage.block`.
    fn count(&self) -> usize {
        self.blocks.len()
    }
}

impl Scheme {
    /// timm's name for `name`: `None` if no rule has it, empty if timm has no such tensor.
    pub fn rename(&self, name: &str, target: &Target) -> Option<String> {
        let name = self
            .prefix
            .iter()
            .find_map(|p| name.strip_prefix(p))
            .unwrap_or(name);
        self.rules.iter().find_map(|(from, to)| {
            let (numbers, rest) = matched(from, name)?;
            written(to, &numbers, rest, target)
        })
    }

    /// The scheme whose names are those of most of the target's tensors; timm's own if several are.
    pub fn recognise<'n>(
        names: impl Iterator<Item = &'n String> + Clone,
        target: &Target,
    ) -> &'static Self {
        let hits = |scheme: &Self| {
            let found = names.clone().filter_map(|n| scheme.rename(n, target));
            let found: BTreeSet<String> = found.map(|n| joined(&n).unwrap_or(n)).collect();
            found
                .iter()
                .filter(|n| target.shapes.contains_key(*n))
                .count()
        };
        let mut best = (hits(&TIMM), &TIMM);
        for scheme in schemes().skip(1) {
            let count = hits(scheme);
            if count > best.0 {
                best = (count, scheme);
            }
        }
        best.1
    }
}

/// The name of the tensor that timm keeps queries, keys and values in, if `name` is of one of the three.
pub(super) fn joined(name: &str) -> Option<String> {
    ["attn.q.", "attn.k.", "attn.v."]
        .iter()
        .find_map(|part| name.contains(part).then(|| name.replace(part, "attn.qkv.")))
}

/// Numbers by letter.
type Numbers = BTreeMap<char, usize>;

/// The numbers in `name` and what is left of it, if it looks like `pattern`.
fn matched<'n>(pattern: &str, mut name: &'n str) -> Option<(Numbers, &'n str)> {
    let mut numbers = Numbers::new();
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        match c {
            '*' => return Some((numbers, name)),
            '{' => {
                let letter = letters.next()?;
                letters.next();
                let end = name
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(name.len());
                numbers.insert(letter, name[..end].parse().ok()?);
                name = &name[end..];
            }
            _ => name = name.strip_prefix(c)?,
        }
    }
    name.is_empty().then_some((numbers, ""))
}

/// timm's name by a rule's second part; `None` if the network has no such block.
fn written(template: &str, numbers: &Numbers, rest: &str, target: &Target) -> Option<String> {
    let mut name = String::new();
    let mut template = template;
    while let Some(c) = template.chars().next() {
        let close = match c {
            '{' => '}',
            '[' => ']',
            '<' => '>',
            '*' => {
                name.push_str(rest);
                template = &template[1..];
                continue;
            }
            _ => {
                name.push(c);
                template = &template[c.len_utf8()..];
                continue;
            }
        };
        let (inside, after) = template[1..].split_once(close)?;
        template = after;
        match c {
            '{' => name.push_str(&number(inside, numbers)?.to_string()),
            '[' => name.push_str(target.blocks.get(number(inside, numbers)?)?),
            _ => {
                let (separable, inverted) = inside.split_once('|')?;
                let expands = target
                    .shapes
                    .contains_key(&format!("{name}conv_pwl.weight"));
                name.push_str(if expands { inverted } else { separable });
            }
        }
    }
    Some(name)
}

/// The value of `s`, `s-1` or `s+1`.
fn number(text: &str, numbers: &Numbers) -> Option<usize> {
    let value = *numbers.get(&text.chars().next()?)?;
    match &text[1..] {
        "" => Some(value),
        "-1" => value.checked_sub(1),
        "+1" => Some(value + 1),
        _ => None,
    }
}
