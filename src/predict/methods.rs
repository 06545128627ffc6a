//! The calls as methods of a model and of several, so that no trait need be imported for them.

/// Gives a type the calls as methods of its own.
macro_rules! methods_of {
    ($type:ty) => {
        impl Predict for $type {}

        impl $type {
            /// Labels and final classes.
            pub fn taxonomy(&self) -> &Taxonomy {
                self.labels()
            }

            /// Predicts from normalised images; an ensemble for members with the same input and without crops.
            ///
            /// # Shapes
            /// `images` `(batch, channels, H, W)`, height and width those of the model's input; one prediction an image, none of
            /// none.
            ///
            /// # Errors
            /// [`Error::Shape`] if the images are of another shape; [`Error::Invalid`], naming the image, if what the model says
            /// is not finite, or if an ensemble needs the photo itself.
            pub fn predict_tensor(&self, images: &Tensor) -> Result<Vec<Prediction>> {
                calls::all(self.predict_images(images)?)
            }

            /// Predicts pixels of any size, which are cropped and resized as the model's input says.
            ///
            /// # Errors
            /// As [`Photo::validate`]: [`Error::Shape`] if height and width are not those of the bytes.
            pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
                calls::one(self.predict_prepared(vec![self.prepare(photo)?])?)
            }

            /// Predicts pixels of many photos, in their order.
            ///
            /// # Errors
            /// As [`predict_photo`](Self::predict_photo); the first photo that fails is named by its place. One failure an answer
            /// is given by [`predict_iter`](Self::predict_iter).
            pub fn predict_photos(&self, photos: &[Photo]) -> Result<Vec<Prediction>> {
                calls::predict_photos(self, photos)
            }

            /// Predicts photos one after the other as they are taken from an iterator: files, encoded ones, pixels. At most 32
            /// are held at once, and prepared on all threads; answers come in the photos' order. A photo that fails is an
            /// error in its place that names it, by its path or as "photo 17", the seventeenth of the iterator, and the rest
            /// goes on.
            ///
            /// ```no_run
            /// let predictor = hydranet::Predictor::from_file("best.safetensors")?;
            /// let frames = (0..5_000).map(|_| hydranet::Photo { height: 2, width: 1, rgb: vec![0; 6] });
            /// for prediction in predictor.predict_iter(frames) {
            ///     match prediction {
            ///         Ok(prediction) => println!("{}", prediction.name),
            ///         Err(error) => eprintln!("{error:#}"),
            ///     }
            /// }
            /// # Ok::<(), hydranet::Error>(())
            /// ```
            pub fn predict_iter<I>(&self, photos: I) -> impl Iterator<Item = Result<Prediction>>
            where
                I: IntoIterator<Item: Into<PhotoSource>>,
            {
                calls::predict_iter(self, photos.into_iter().map(Into::into))
            }

            /// Predicts a photo's file in memory, for instance an upload. Its errors call it "photo 1".
            ///
            /// # Errors
            /// [`Error::Image`] if it cannot be read.
            #[cfg(feature = "image")]
            pub fn predict_bytes(&self, bytes: &[u8]) -> Result<Prediction> {
                calls::predict_bytes(self, bytes)
            }

            /// Predicts one photo file.
            ///
            /// # Errors
            /// [`Error::Image`] or [`Error::Io`] naming the photo.
            #[cfg(feature = "image")]
            pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
                calls::one(calls::predict_from(self, &[path.as_ref().into()], 1)?)
            }

            /// Predicts a picture of the crate [`image`], as it is: without regard to any orientation its file may have named.
            ///
            /// # Errors
            /// As [`Predictor::predict_photo`].
            #[cfg(feature = "image")]
            pub fn predict_image(&self, image: &image::DynamicImage) -> Result<Prediction> {
                let channels = calls::channels(&self.inputs());
                self.predict_photo(&Photo::from_image(image, channels))
            }
        }
    };
}
pub(super) use methods_of;
