//! A head trained elsewhere on the same backbone, in the place of one's own: `swap_head MODEL HEAD OTHER OUT`.

use hydranet::ModelFile;
use hydranet::model_file::heads::{Graft, Place, graft};

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let (model, head, other) = (ModelFile::read(of(1))?, of(2), ModelFile::read(of(3))?);
    let how = Graft {
        place: Place::Replacing(head.clone()),
        ..Graft::default()
    };
    let swapped = graft(&model, &other, &head, &how)?;
    swapped.write(of(4))?;
    println!("{}", swapped.description.classes.join(", "));
    Ok(())
}
