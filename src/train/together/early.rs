//! Gradients that go out while backward runs.

use crate::error::{Error, Result};
use crate::train::parts::{Contribution, Cut, Tree};
use crate::train::ranks::{Group, Round, encoded};
use candle_core::{Tensor, TensorId};
use hydranet_tape::internal::with_values;
use std::collections::HashMap;
use std::ops::Range;

/// Values that are sent at once, unless one gradient has more: small enough that most of backward is still to come after the
/// first.
const BUCKET: usize = 1 << 20;

/// The variables whose gradients a backward pass finds before its end, by their places in the optimiser's order, in the order in
/// which it finds them. The first step of a run with these variables tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::train) struct Order(Vec<usize>);

impl Order {
    /// Of the variables that a backward pass told of once, those whose gradient in the end was what it told: others are used
    /// elsewhere too.
    pub(super) fn of(
        told: &[(TensorId, Tensor)],
        variables: &[TensorId],
        gradients: &[Option<Tensor>],
    ) -> Result<Self> {
        let mut uses: HashMap<TensorId, usize> = HashMap::new();
        told.iter()
            .for_each(|(id, _)| *uses.entry(*id).or_default() += 1);
        let places = variables.iter().enumerate().map(|(place, id)| (*id, place));
        let places: HashMap<TensorId, usize> = places.collect();
        let mut order = Vec::new();
        for (id, gradient) in told {
            if let (Some(place), Some(1)) = (places.get(id), uses.get(id))
                && let Some(Some(whole)) = gradients.get(*place)
                && same(&as_summed(gradient)?, whole)?
            {
                order.push(*place);
            }
        }
        Ok(Self(order))
    }

    /// How many variables.
    pub(in crate::train) fn len(&self) -> usize {
        self.0.len()
    }

    /// On all processes, the order that the first of them found which found any.
    ///
    /// # Errors
    /// As [`Group::agree`], and [`Error::Invalid`] if it is not one of so many variables.
    pub(super) fn agreed(own: Option<Self>, variables: usize, group: &Group) -> Result<Self> {
        let places = own.unwrap_or_default().0;
        let bytes = places.iter().map(|place| (*place as u64).to_le_bytes());
        let said = bytes.collect::<Vec<_>>().concat();
        let all = group.agree(Ok(said))?;
        let first = all.iter().find(|said| !said.is_empty());
        let places = first.map_or(&[][..], |said| said).chunks(8);
        let place = |bytes: &[u8]| {
            let place = u64::from_le_bytes(bytes.try_into().unwrap_or([u8::MAX; 8]));
            usize::try_from(place).ok().filter(|p| *p < variables)
        };
        let order: Option<Vec<usize>> = places.map(place).collect();
        let mut sorted = order.clone().unwrap_or_default();
        sorted.sort_unstable();
        sorted.dedup();
        match order {
            Some(order) if order.len() == sorted.len() => Ok(Self(order)),
            _ => Err(Error::Invalid {
                what: "the order of gradients".into(),
                expected: format!("one of {variables} variables"),
                found: "another".into(),
            }),
        }
    }
}

/// As candle adds a gradient to the zeros it begins with: a negative zero becomes a positive one.
fn as_summed(gradient: &Tensor) -> Result<Tensor> {
    Ok(gradient.zeros_like()?.add(gradient)?)
}

/// Whether two gradients are the same to the last bit.
fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let same = with_values(a, |a: &[f32]| {
        with_values(b, |b: &[f32]| {
            Ok(a.len() == b.len() && a.iter().zip(b).all(equal))
        })
    });
    Ok(same?)
}

/// The gradients of a step that go out early.
pub(super) struct Early {
    parts: usize,
    own: Range<usize>,
    /// Whether parts are computed side by side, so that those before the last fill buckets as the last does.
    together: bool,
    order: Vec<usize>,
    /// The place of each parameter in the order, and the shapes there.
    places: HashMap<TensorId, usize>,
    shapes: Vec<Vec<usize>>,
    /// Ranges of the order.
    buckets: Vec<Range<usize>>,
    /// Of each part that is computed here.
    passes: Vec<Pass>,
    /// By bucket.
    trees: Vec<Tree<Contribution>>,
    /// How many buckets have gone out, and their sums.
    sent: usize,
    sums: Vec<Option<Tensor>>,
}

/// What the backward pass of a part has found so far.
#[derive(Clone)]
struct Pass {
    /// By place in the order.
    found: Vec<Option<Tensor>>,
    /// Buckets that are full.
    full: usize,
}

impl Early {
    /// Of the variables with these numbers and shapes.
    pub(super) fn new(
        order: &Order,
        variables: &[(TensorId, Vec<usize>)],
        cut: &Cut,
        together: bool,
    ) -> Self {
        let Order(order) = order.clone();
        let of = |place: &usize| &variables[*place];
        let places = order.iter().enumerate().map(|(i, place)| (of(place).0, i));
        let shapes: Vec<Vec<usize>> = order.iter().map(|place| of(place).1.clone()).collect();
        let mut buckets: Vec<Range<usize>> = Vec::new();
        let mut values = BUCKET;
        for (i, shape) in shapes.iter().enumerate() {
            match buckets.last_mut() {
                Some(last) if values < BUCKET => last.end = i + 1,
                _ => {
                    buckets.push(i..i + 1);
                    values = 0;
                }
            }
            values += shape.iter().product::<usize>();
        }
        let pass = Pass {
            found: vec![None; order.len()],
            full: 0,
        };
        Self {
            parts: cut.parts.len(),
            own: cut.own.clone(),
            together,
            places: places.collect(),
            shapes,
            passes: vec![pass; cut.own.len()],
            trees: buckets.iter().map(|_| Tree::new(cut.parts.len())).collect(),
            buckets,
            sent: 0,
            sums: Vec::with_capacity(order.len()),
            order,
        }
    }

    /// Whether the variable at a place of the optimiser's order is not among them.
    pub(super) fn leaves(&self, place: usize) -> bool {
        !self.order.contains(&place)
    }

    /// The backward pass of a part has found the gradient of a parameter. Buckets that are full by it go out, if the part is the
    /// last of this process.
    pub(super) fn found(
        &mut self,
        part: usize,
        parameter: TensorId,
        gradient: &Tensor,
        group: &Group,
    ) -> Result<()> {
        // One that ends before the last begins has nothing to hurry for.
        if !self.together && part + 1 != self.own.end {
            return Ok(());
        }
        let Some(place) = self.places.get(&parameter) else {
            return Ok(());
        };
        let pass = &mut self.passes[part - self.own.start];
        if pass.found[*place].is_some() {
            return Err(changed());
        }
        pass.found[*place] = Some(as_summed(gradient)?);
        self.advance(part, false, group)
    }

    /// The backward pass of a part has ended with these gradients, of which those that go out early are taken.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is not what was told before.
    pub(super) fn take(
        &mut self,
        part: usize,
        gradients: &mut [Option<Tensor>],
        group: &Group,
    ) -> Result<()> {
        let pass = &mut self.passes[part - self.own.start];
        for (place, found) in self.order.iter().zip(&mut pass.found) {
            match (gradients[*place].take(), &found) {
                (Some(whole), Some(told)) if !same(&whole, told)? => return Err(changed()),
                (None, Some(_)) => return Err(changed()),
                (whole, None) => *found = whole,
                _ => {}
            }
        }
        self.advance(part, true, group)?;
        self.passes[part - self.own.start].found = Vec::new();
        Ok(())
    }

    /// Takes the full buckets of a part, or `all` of them, into their trees, in order.
    fn advance(&mut self, part: usize, all: bool, group: &Group) -> Result<()> {
        let pass = &mut self.passes[part - self.own.start];
        while let Some(range) = self.buckets.get(pass.full)
            && (all || pass.found[range.clone()].iter().all(Option::is_some))
        {
            let of_part = Contribution {
                tensors: pass.found[range.clone()].to_vec(),
                numbers: Vec::new(),
            };
            let tree = &mut self.trees[pass.full];
            tree.push(part..part + 1, of_part, Contribution::plus)?;
            pass.full += 1;
            if part + 1 == self.own.end {
                let tree = std::mem::replace(tree, Tree::new(self.parts));
                let own = tree.into_nodes();
                let (_, said) = group.round(Round::Bucket, &encoded(&own))?;
                let shapes = &self.shapes[range.clone()];
                let sums = group.sum_bucket(self.parts, &own, &said, shapes)?;
                self.sums.extend(sums);
                self.sent += 1;
            }
        }
        Ok(())
    }

    /// A bucket of others, on a process that computes no part.
    pub(super) fn follow(&mut self, said: &[Vec<u8>], group: &Group) -> Result<()> {
        let range = self.buckets.get(self.sent).ok_or_else(changed)?;
        let shapes = &self.shapes[range.clone()];
        self.sums
            .extend(group.sum_bucket(self.parts, &[], said, shapes)?);
        self.sent += 1;
        Ok(())
    }

    /// All sums, in the optimiser's order: those of the variables that are not among them are `others`.
    pub(super) fn merged(self, others: Vec<Option<Tensor>>) -> Vec<Option<Tensor>> {
        let mut all = vec![None; self.order.len() + others.len()];
        for (place, sum) in self.order.iter().zip(self.sums) {
            all[*place] = sum;
        }
        let mut early = self.order;
        early.sort_unstable();
        let places = (0..all.len()).filter(|place| early.binary_search(place).is_err());
        let places: Vec<usize> = places.collect();
        for (place, sum) in places.into_iter().zip(others) {
            all[place] = sum;
        }
        all
    }
}

/// A gradient that was not final when it was told.
fn changed() -> Error {
    Error::Invalid {
        what: "the gradient of a variable".into(),
        expected: "the one that was sent while backward was running, as in the first step".into(),
        found: "another: the network uses its variables in another way than in the first step"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn only_gradients_that_are_final_when_they_are_told_go_out_early() {
        let vars: Vec<Var> = (0..5)
            .map(|_| Var::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap())
            .collect();
        let ids: Vec<TensorId> = vars.iter().map(|v| v.as_tensor().id()).collect();
        let one = tensor(&[1.0, -0.0]);
        // The last first; 1 is used elsewhere too, 2 twice, 4 is never told, and one is no variable.
        let told = vec![
            (ids[3], one.clone()),
            (one.id(), one.clone()),
            (ids[1], one.clone()),
            (ids[2], one.clone()),
            (ids[2], one.clone()),
            (ids[0], one.clone()),
        ];
        let whole = Some(tensor(&[1.0, 0.0]));
        let other = Some(tensor(&[2.0, 0.0]));
        let gradients = [whole.clone(), other, whole.clone(), whole, None];
        let order = Order::of(&told, &ids, &gradients).unwrap();
        assert_eq!(order, Order(vec![3, 0]));
        let group = Group::alone();
        assert_eq!(
            Order::agreed(Some(order.clone()), 5, &group).unwrap(),
            order
        );
        assert_eq!(Order::agreed(None, 5, &group).unwrap(), Order::default());
        assert!(Order::agreed(Some(order), 3, &group).is_err());
    }

    #[test]
    fn what_went_out_early_is_put_back_in_its_places_and_a_changed_gradient_is_an_error() {
        let vars: Vec<Var> = (0..4)
            .map(|_| Var::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap())
            .collect();
        let variables: Vec<_> = vars
            .iter()
            .map(|v| (v.as_tensor().id(), v.dims().to_vec()))
            .collect();
        let cut = Cut::new(4, 2, (0, 1));
        let group = Group::alone();
        let order = Order(vec![3, 1]);
        let value = |i: usize| Some(tensor(&[i as f32, 1.0]));
        let mut early = Early::new(&order, &variables, &cut, true);
        for part in 0..2 {
            let told = tensor(&[3.0, 1.0]);
            early.found(part, variables[3].0, &told, &group).unwrap();
            let mut whole = [value(0), value(1), None, value(3)];
            early.take(part, &mut whole, &group).unwrap();
            assert!(whole[0].is_some() && whole[1].is_none() && whole[3].is_none());
        }
        assert!(early.leaves(0) && !early.leaves(1));
        let all = early.merged(vec![value(7), None]);
        let first = |t: &Option<Tensor>| t.as_ref().map(|t| t.to_vec1::<f32>().unwrap()[0]);
        let firsts: Vec<_> = all.iter().map(first).collect();
        assert_eq!(firsts, [Some(7.0), Some(2.0), None, Some(6.0)]);
        let mut early = Early::new(&order, &variables, &cut, true);
        early
            .found(0, variables[3].0, &tensor(&[3.0, 1.0]), &group)
            .unwrap();
        let mut whole = [value(0), value(1), None, value(4)];
        let message = early.take(0, &mut whole, &group).unwrap_err().to_string();
        assert!(message.contains("as in the first step"), "{message}");
    }
}
