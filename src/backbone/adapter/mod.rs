//! Networks written with candle's own layers, those of candle-transformers above all, as backbones.
//!
//! An [`Entry`] says how such a network is built and what is known of it. With the feature `transformers` some are
//! there already; [`register`] adds yours, and from then on configurations and model files may name it:
//!
//! ```
//! use candle_core::{Result, Tensor};
//! use hydranet::adapter::{Entry, Training, register};
//!
//! // Any function from a `VarBuilder` to a module that gives `(batch, num_features)`.
//! fn build(vb: candle_nn::VarBuilder) -> Result<hydranet::adapter::Module> {
//!     let patches = candle_nn::Conv2dConfig { stride: 16, ..Default::default() };
//!     let patches = candle_nn::conv2d(3, 8, 16, patches, vb.pp("patches"))?;
//!     Ok(Box::new(candle_nn::func(move |images: &Tensor| images.apply(&patches)?.mean((2, 3)))))
//! }
//!
//! let mut entry = Entry::new("patches_8", 8, 64, build);
//! entry.training = Training::Full;
//! let backbone = register(entry)?;
//! assert_eq!(hydranet::Architecture::from_name("patches_8")?, backbone);
//! # Ok::<(), hydranet::Error>(())
//! ```
//!
//! # What such a network can do
//!
//! candle's networks are made for inference. In many of them operators without a backward stand between the loss and most of the
//! variables: nothing fails, and those variables silently never learn. [`Entry::training`] says whether a network may be
//! fine-tuned; a configuration that fine-tunes one that cannot be is refused before anything is read. As a frozen feature
//! extractor (`train.fine_tune = "frozen"`) every one works, its features kept from run to run with `train.feature_cache`.
//!
//! Drop-path is not to be had, and batch norms of a module always use the running statistics.
//!
//! # A backbone of one's own
//!
//! What implements [`Backbone`] is registered by a closure. It is told the [`Mode`], so that its batch norms learn too: candle's
//! keep their statistics in the model's file like ours. A program that loads such a file registers the same name first.
//!
//! ```
//! use candle_core::{Result, Tensor};
//! use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT};
//! use hydranet::adapter::{Entry, register};
//! use hydranet::{Backbone, Mode};
//!
//! struct Patches(Conv2d, BatchNorm);
//!
//! impl Backbone for Patches {
//!     fn num_features(&self) -> usize {
//!         self.0.weight().dims()[0]
//!     }
//!
//!     fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
//!         let patches = self.1.forward_t(&self.0.forward(images)?, mode != Mode::Eval)?;
//!         patches.relu()?.mean((2, 3))
//!     }
//! }
//!
//! let (width, side) = (8, 16);
//! let backbone = register(Entry::backbone("my_patches", width, 64, move |vb| {
//!     let config = Conv2dConfig { stride: side, ..Default::default() };
//!     let patches = candle_nn::conv2d(3, width, side, config, vb.pp("patches"))?;
//!     Ok(Patches(patches, candle_nn::batch_norm(width, 1e-5, vb.pp("norm"))?))
//! }))?;
//! assert_eq!(backbone.name(), "my_patches");
//! # Ok::<(), hydranet::Error>(())
//! ```

mod source;

#[cfg(feature = "transformers")]
pub(crate) mod models;

use super::{Architecture, Backbone, IMAGENET, Known, SavedActivations};
use crate::error::{Error, Result};
use crate::input::{InputSpec, Interpolation};
use crate::layers::Mode;
use crate::tape::internal::Watch;
use crate::tape::{Map, Tape};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A network as candle has them.
pub type Module = Box<dyn candle_core::Module + Send + Sync>;

/// Whether a network's variables learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Training {
    /// Each gets its gradient, and a step of the optimiser changes what the network computes.
    Full,
    /// Operators without a backward cut variables off the loss; this is the first of them by name.
    NoGradient(&'static str),
    /// Gradients arrive, but weights are folded into others when the network is built: a step changes nothing.
    FoldedWeights,
}

/// Which images, by their height and width, a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sizes {
    /// Those of [`Entry::side`] by [`Entry::side`] only.
    Fixed,
    /// Square ones whose side is a multiple of `step` and at least `least`.
    Square {
        /// The side is a multiple of it.
        step: usize,
        /// The smallest side.
        least: usize,
    },
    /// All.
    Any,
}

/// A network as a backbone; see the [module](self).
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in configurations and model files.
    pub name: &'static str,
    /// Where its usual pretrained weights are, `organisation/name` on the Hugging Face Hub; empty: nowhere.
    pub(crate) weights: &'static str,
    /// Width of the features.
    pub num_features: usize,
    /// The side of the square images its pretrained weights were made for.
    pub side: usize,
    /// The share of a photo's shorter side that their evaluation shows.
    pub crop_pct: f64,
    /// How it resizes photos.
    pub interpolation: Interpolation,
    /// Subtracted from each channel, on the scale 0–1.
    pub mean: [f32; 3],
    /// What each channel is then divided by.
    pub std: [f32; 3],
    /// The images it takes.
    pub sizes: Sizes,
    /// Whether it takes one image at a time only; a batch is then given to it image by image.
    pub(crate) single: bool,
    /// Whether it can be fine-tuned.
    pub training: Training,
    /// What the names of all its tensors begin with, where weights files hold other networks beside it: of such a file only these
    /// are read. Empty: files hold it alone.
    pub(crate) part: &'static str,
    /// The prefix of its classifier, a linear layer (`"head"`): it becomes the identity without tensors, so that the features are
    /// what would be classified. Empty: the network is built without.
    pub(crate) classifier: &'static str,
    /// Pairs of prefixes, the network's own and what weights and model files have instead.
    pub(crate) renamed: &'static [(&'static str, &'static str)],
    /// Tensors that are not there although the network looks for them, by name; networks that serve several variants do.
    pub(crate) absent: fn(&str) -> bool,
    /// Tensors that no file has because they follow from the network's shape, by name; they are never trained.
    pub(crate) given: fn(&str) -> candle_core::Result<Option<Tensor>>,
    /// The stages from input to output, each the prefixes of its tensors.
    pub stages: fn() -> Vec<Vec<String>>,
    /// From tensors to the network.
    pub(crate) build: Build,
}

/// How a network is built from its tensors: as [`Entry::new`] or [`Entry::backbone`] is told.
#[derive(Clone, Copy)]
pub(crate) struct Build(How);

#[derive(Clone, Copy)]
enum How {
    /// As a module of candle's, from images `(batch, 3, H, W)` to features `(batch, num_features)` or `(batch, num_features, 1,
    /// 1)`.
    Module(fn(VarBuilder) -> candle_core::Result<Module>),
    /// As a backbone, which is told the [`Mode`] it runs in.
    Backbone(&'static BuildBackbone),
}

/// From tensors to a backbone.
type BuildBackbone = dyn Fn(VarBuilder) -> candle_core::Result<Box<dyn Backbone>> + Send + Sync;

impl Build {
    /// Whether what is built tells training from prediction.
    pub(crate) fn knows_mode(self) -> bool {
        matches!(self.0, How::Backbone(_))
    }
}

impl fmt::Debug for Build {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            How::Module(_) => "Module(…)",
            How::Backbone(_) => "Backbone(…)",
        })
    }
}

impl Entry {
    /// An entry with what has to be said of each. The rest: ImageNet's normalisation, bicubic, the whole photo, images of one
    /// size, whole batches, no other names, one stage, and not to be fine-tuned because its weights may be folded.
    pub const fn new(
        name: &'static str,
        num_features: usize,
        side: usize,
        build: fn(VarBuilder) -> candle_core::Result<Module>,
    ) -> Self {
        Self::built(name, num_features, side, How::Module(build))
    }

    /// An entry of a [`Backbone`] of your own, built by a closure, which may hold what it needs and is kept for the rest of the
    /// program. It takes images of all sizes and may be fine-tuned; the rest is as of [`new`](Self::new).
    pub fn backbone<B: Backbone + 'static>(
        name: &'static str,
        num_features: usize,
        side: usize,
        build: impl Fn(VarBuilder) -> candle_core::Result<B> + Send + Sync + 'static,
    ) -> Self {
        let build = move |vb: VarBuilder| Ok(Box::new(build(vb)?) as Box<dyn Backbone>);
        let build: &'static BuildBackbone = Box::leak(Box::new(build));
        Self {
            sizes: Sizes::Any,
            training: Training::Full,
            ..Self::built(name, num_features, side, How::Backbone(build))
        }
    }

    const fn built(name: &'static str, num_features: usize, side: usize, build: How) -> Self {
        Self {
            name,
            weights: "",
            num_features,
            side,
            crop_pct: 1.0,
            interpolation: Interpolation::Bicubic,
            mean: IMAGENET[0],
            std: IMAGENET[1],
            sizes: Sizes::Fixed,
            single: false,
            training: Training::FoldedWeights,
            part: "",
            classifier: "",
            renamed: &[],
            absent: |_| false,
            given: |_| Ok(None),
            stages: || vec![vec![String::new()]],
            build: Build(build),
        }
    }

    /// Checks that it takes images of `size` = `[height, width]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the sizes it takes.
    pub(crate) fn check_size(&self, size: [usize; 2]) -> Result<()> {
        let [height, width] = size;
        let expected = match self.sizes {
            Sizes::Any => return Ok(()),
            Sizes::Fixed if size == [self.side; 2] => return Ok(()),
            Sizes::Square { step, least }
                if height == width && height.is_multiple_of(step) && height >= least =>
            {
                return Ok(());
            }
            Sizes::Fixed => format!("[{0}, {0}], the only size {1} takes", self.side, self.name),
            Sizes::Square { step, least } => format!(
                "a square whose side is a multiple of {step} and at least {least}, for {}",
                self.name
            ),
        };
        Err(Error::Invalid {
            what: "input.size".into(),
            expected,
            found: format!("{size:?}"),
        })
    }

    /// The input its pretrained weights were made for.
    pub(super) fn input(&self) -> InputSpec {
        InputSpec {
            size: [self.side; 2],
            interpolation: self.interpolation,
            mean: self.mean,
            std: self.std,
            ..InputSpec::default()
        }
    }

    pub(super) fn build(&'static self, vb: VarBuilder) -> candle_core::Result<Box<dyn Backbone>> {
        let vb = source::of_entry(self, vb);
        let network = match self.build.0 {
            How::Module(build) => Box::new(Blind(build(vb)?, self.num_features)),
            How::Backbone(build) => build(vb)?,
        };
        let (found, expected) = (network.num_features(), self.num_features);
        if found != expected {
            candle_core::bail!(
                "{}: expected {expected} features, as it is registered, found {found}",
                self.name
            )
        }
        Ok(Box::new(Plugged {
            network,
            entry: self,
        }))
    }
}

/// A module of candle's, which knows no modes, and the width of its features.
struct Blind(Module, usize);

impl Backbone for Blind {
    fn num_features(&self) -> usize {
        self.1
    }

    fn features(&self, images: &Tensor, _: Mode) -> candle_core::Result<Tensor> {
        self.0.forward(images)
    }
}

/// A network held against its entry.
struct Plugged {
    network: Box<dyn Backbone>,
    entry: &'static Entry,
}

impl Backbone for Plugged {
    fn num_features(&self) -> usize {
        self.entry.num_features
    }

    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let Entry {
            name,
            num_features,
            single,
            ..
        } = self.entry;
        let (batch, _, height, width) = images.dims4()?;
        // Some networks panic at another size.
        if let Err(e) = self.entry.check_size([height, width]) {
            candle_core::bail!("{e:#}")
        }
        let features = if *single && batch > 1 {
            let each = |i| self.network.features(&images.narrow(0, i, 1)?, mode);
            let each: Vec<_> = (0..batch).map(each).collect::<candle_core::Result<_>>()?;
            Tensor::cat(&each, 0)?
        } else {
            self.network.features(images, mode)?
        };
        let features = features.flatten_from(1)?;
        if features.dims() != [batch, *num_features] {
            candle_core::bail!(
                "{name}: expected features of shape ({batch}, {num_features}), found {:?}",
                features.dims()
            )
        }
        Ok(features)
    }

    fn set_activations(&mut self, activations: SavedActivations) {
        self.network.set_activations(activations);
    }

    fn set_momentum(&mut self, momentum: Option<f64>) {
        self.network.set_momentum(momentum);
    }

    fn set_watch(&mut self, watch: Option<Arc<dyn Watch>>) {
        self.network.set_watch(watch);
    }

    fn on_tape(&self, tape: &mut Tape, images: &Map) -> candle_core::Result<Map> {
        self.network.on_tape(tape, images)
    }

    fn feature_maps(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Vec<Tensor>> {
        self.network.feature_maps(images, mode)
    }
}

static REGISTERED: RwLock<Vec<&'static Entry>> = RwLock::new(Vec::new());

#[cfg(feature = "transformers")]
use models::ENTRIES;
#[cfg(not(feature = "transformers"))]
const ENTRIES: &[Entry] = &[];

/// Every entry: those of this library, then those registered.
pub(crate) fn entries() -> Vec<&'static Entry> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    ENTRIES.iter().chain(registered.iter().copied()).collect()
}

/// Makes a network known for the rest of the program, under its name.
///
/// # Errors
/// [`Error::Invalid`] if the name is empty or taken, if the network has no features or does not take images of its own side,
/// or if side, mean or deviation are none that images could have.
pub fn register(entry: Entry) -> Result<Architecture> {
    entry.check_size([entry.side; 2])?;
    let crop_pct = Some(entry.crop_pct);
    let input = entry.input();
    InputSpec { crop_pct, ..input }.validate()?;
    if entry.num_features == 0 {
        return Err(Error::Invalid {
            what: format!("the features of `{}`", entry.name),
            expected: "at least one".into(),
            found: "none".into(),
        });
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let name = entry.name;
    let taken = Architecture::all().any(|a| a.name() == name)
        || ENTRIES.iter().any(|e| e.name == name)
        || registered.iter().any(|e| e.name == name);
    if name.is_empty() || taken {
        return Err(Error::Invalid {
            what: "a backbone's name".into(),
            expected: "a name that no other backbone has".into(),
            found: format!("`{name}`"),
        });
    }
    let entry: &'static Entry = Box::leak(Box::new(entry));
    registered.push(entry);
    Ok(Architecture(Known::Plugged(entry)))
}
