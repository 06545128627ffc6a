//! Transformers and ConvNeXt at sizes that are not their weights', and what their stages give.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use hydranet::{Architecture, Mode};

/// A network of zeros.
fn zeros(name: &str) -> Box<dyn hydranet::Backbone> {
    let builder = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let architecture = Architecture::from_name(name).unwrap();
    architecture.build(builder, 0.0).unwrap()
}

fn image(height: usize, width: usize) -> Tensor {
    Tensor::ones((1, 3, height, width), DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn an_image_that_is_not_made_of_whole_patches_is_an_error_that_says_so() {
    for (name, patch) in [
        ("swin_tiny_patch4_window7_224", 4),
        ("vit_small_patch14_reg4_dinov2", 14),
        ("vit_tiny_patch16_224", 16),
    ] {
        let net = zeros(name);
        for (height, width) in [(2 * patch, patch + 1), (patch - 1, patch)] {
            let error = net.features(&image(height, width), Mode::Eval);
            let (error, says) = (
                error.unwrap_err().to_string(),
                format!("of whole patches of {patch}, found {height} × {width}"),
            );
            assert!(error.contains(&says), "{name}: {error}");
        }
    }
}

#[test]
fn a_network_shows_the_map_of_each_stage() {
    let tokens = |count: usize, width| vec![vec![1, width, 1, count]; 13];
    let maps = |sizes: [(usize, usize, usize); 5]| sizes.map(|(c, h, w)| vec![1, c, h, w]);
    for (name, (height, width), expected) in [
        ("deit_tiny_patch16_224", (32, 16), tokens(3, 192)),
        ("vit_small_patch14_dinov2", (28, 42), tokens(7, 384)),
        ("vit_small_patch14_reg4_dinov2", (28, 42), tokens(11, 384)),
        (
            "swin_tiny_patch4_window7_224",
            (36, 20),
            maps([
                (96, 9, 5),
                (96, 9, 5),
                (192, 5, 3),
                (384, 3, 2),
                (768, 2, 1),
            ])
            .into(),
        ),
        (
            "convnextv2_atto",
            (64, 32),
            maps([
                (40, 16, 8),
                (40, 16, 8),
                (80, 8, 4),
                (160, 4, 2),
                (320, 2, 1),
            ])
            .into(),
        ),
    ] {
        let found = zeros(name).feature_maps(&image(height, width), Mode::Eval);
        let found: Vec<Vec<usize>> = found.unwrap().iter().map(|m| m.dims().to_vec()).collect();
        assert_eq!(found, expected, "{name}");
    }
}
