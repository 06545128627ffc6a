//! A model file being changed, and the first values of new heads.

use crate::error::{Error, Result};
use crate::head::{Head, HeadSpec, Inputs};
use crate::model::combine::Decision;
use crate::model::{Layout, copy_own_stages};
use crate::model_file::file::ModelFile;
use crate::random::init::init_tensor;
use crate::tensors::Tensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a head's tensors come from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NewTensors {
    /// Weights drawn from ±1/√inputs, biases 0, poolings at their first values; the same seed, head name and shape give the
    /// same values; stages of the head's own are the backbone's. To be trained.
    Fresh {
        /// The seed.
        seed: u64,
    },
    /// Trained ones, named `fc.weight`, `fc.bias`, with a hidden layer `hidden.weight`, `hidden.bias`, and with a pooling that
    /// learns `pool.p` or `pool.query`, with stages of its own `stages.…`.
    Given(Tensors),
}

/// A model file being changed: first the heads, then tensors out and in.
pub(crate) struct Edit(ModelFile);

impl Edit {
    /// With other heads. Where that makes other final classes, a joint head and a decision that were for those before are taken
    /// out; the note says so.
    pub(crate) fn new(file: &ModelFile, heads: Vec<HeadSpec>, mut done: Value) -> Result<Self> {
        let mut file = file.clone();
        let description = &mut file.description;
        let before = std::mem::replace(&mut description.model.heads, heads);
        check_after(&before, &description.model.heads)?;
        let classes = description.model.taxonomy()?.class_names();
        // Labels of the same names under other thresholds are other labels.
        let other_borders = description.model.heads.iter().any(|new| {
            let old = before.iter().find(|old| old.name == new.name);
            old.is_some_and(|old| old.labels.thresholds != new.labels.thresholds)
        });
        let others = classes != description.classes || other_borders;
        if others && description.model.joint.take().is_some() {
            file.tensors.retain(|key, _| !key.starts_with("joint."));
            done["removed"] = "the joint head, which was for other final classes".into();
        }
        if others && description.decision != Decision::default() {
            done["decision"] = "the product again".into();
            description.decision = Decision::default();
        }
        description.classes = classes;
        description.model.validate()?;
        description.training = noted(std::mem::take(&mut description.training), done);
        Ok(Self(file))
    }

    /// With the decision by the product, if it was tuned to a head that is another now.
    pub(crate) fn untuned(mut self) -> Self {
        if self.0.description.decision.rule.is_tuned() {
            self.0.description.decision = Decision::default();
        }
        self
    }

    pub(crate) fn without(mut self, head: &str) -> Self {
        let prefix = prefix(head);
        self.0.tensors.retain(|key, _| !key.starts_with(&prefix));
        self
    }

    pub(crate) fn with(mut self, spec: &HeadSpec, tensors: NewTensors) -> Result<Self> {
        let fresh = matches!(tensors, NewTensors::Fresh { .. });
        let own = match tensors {
            NewTensors::Fresh { seed } => {
                let model = &self.0.description.model;
                let mut layout = Layout::of(model)?;
                let reads = layout.heads.swap_remove(model.head_index(&spec.name)?);
                Fresh::draw(spec, reads, seed)?
            }
            NewTensors::Given(tensors) => tensors,
        };
        for (key, tensor) in own {
            let key = prefix(&spec.name) + &key;
            if !tensor.dtype().is_float() {
                return Err(Error::Checkpoint {
                    origin: "the tensors given".into(),
                    problem: format!(
                        "tensor `{key}` is of type {:?}; expected a floating-point type",
                        tensor.dtype()
                    ),
                    source: None,
                });
            }
            self.0.tensors.insert(key, tensor.to_dtype(DType::F32)?);
        }
        if fresh {
            copy_own_stages(&self.0.description.model, &mut self.0.tensors)?;
        }
        Ok(self)
    }

    /// The result, if it is a whole model.
    pub(crate) fn finish(self) -> Result<ModelFile> {
        self.0.build()?;
        Ok(self.0)
    }
}

/// Refuses other labels of a head, or other borders between them, where another, which stays, has learnt behind it.
fn check_after(before: &[HeadSpec], heads: &[HeadSpec]) -> Result<()> {
    let of = |heads: &[HeadSpec], name: &String| {
        let head = heads.iter().find(|h| h.name == *name)?;
        let (names, borders) = (&head.labels.names, &head.labels.thresholds);
        let kind = match (&head.labels.number, &head.labels.multi_label) {
            (Some(number), _) => format!(" of a number in {} bins", number.bins),
            (None, Some(_)) => ", several at once".into(),
            (None, None) => String::new(),
        };
        Some(format!("{names:?} with thresholds {borders:?}{kind}"))
    };
    for head in heads.iter().filter(|h| before.contains(h)) {
        for name in &head.layers.after {
            if let (Some(old), Some(new)) = (of(before, name), of(heads, name))
                && old != new
            {
                return Err(Error::Invalid {
                    what: format!("head `{}`, after", head.name),
                    expected: format!(
                        "the labels of head `{name}` behind which it has learnt, {old}"
                    ),
                    found: format!("{new}; replace or remove head `{}` first", head.name),
                });
            }
        }
    }
    Ok(())
}

/// What the names of a head's tensors start with in a file.
pub(crate) fn prefix(head: &str) -> String {
    format!("heads.{head}.")
}

/// The training metadata with one entry more in its list `surgery`. It is free-form: what is no table is kept as `before`.
fn noted(training: Value, done: Value) -> Value {
    let mut table = match training {
        Value::Object(table) => table,
        Value::Null => serde_json::Map::new(),
        other => serde_json::Map::from_iter([("before".to_string(), other)]),
    };
    let mut list = match table.remove("surgery") {
        Some(Value::Array(list)) => list,
        None | Some(Value::Null) => Vec::new(),
        Some(other) => vec![other],
    };
    list.push(done);
    table.insert("surgery".into(), Value::Array(list));
    Value::Object(table)
}

/// A `VarBuilder`'s source that draws what a new head asks for, so that names and shapes are said in [`Head`] only.
#[derive(Clone)]
struct Fresh {
    seed: u64,
    head: String,
    drawn: Arc<Mutex<Tensors>>,
}

impl Fresh {
    fn draw(spec: &HeadSpec, reads: Inputs, seed: u64) -> Result<Tensors> {
        let fresh = Self {
            seed,
            head: spec.name.clone(),
            drawn: Arc::default(),
        };
        let vb = VarBuilder::from_backend(Box::new(fresh.clone()), DType::F32, Device::Cpu);
        Head::over(spec, reads, 0, vb)?;
        let drawn = fresh.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(drawn.clone())
    }
}

impl SimpleBackend for Fresh {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = init_tensor(self.seed, &(prefix(&self.head) + name), &shape, init)?;
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.insert(name.into(), tensor.clone());
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: hydranet's layers always give a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
