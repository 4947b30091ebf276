//! What all pictures have in common: their colours, and how they become files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kuva::backend::svg::SvgBackend;
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;

/// Colours that colour-blind people can tell apart: those of Okabe and Ito.
pub mod colour {
    /// Black.
    pub const BLACK: &str = "#000000";
    /// Blue.
    pub const BLUE: &str = "#0072b2";
    /// Orange.
    pub const ORANGE: &str = "#e69f00";
    /// Red, for what should not be.
    pub const RED: &str = "#d55e00";
    /// Grey, for what did not happen.
    pub const GREY: &str = "#999999";
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to show.
    #[error("there is no picture, because {0}")]
    Empty(&'static str),
    /// The file cannot be written.
    #[error("cannot write the picture {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// A picture, which is SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(String);

impl Picture {
    /// Draws plots that share their axes.
    #[must_use]
    pub fn of(plots: Vec<Plot>, layout: Layout) -> Picture {
        Picture(SvgBackend.render_scene(&render_multiple(plots, layout)))
    }

    /// Draws plots side by side.
    #[must_use]
    pub fn of_figure(figure: Figure) -> Picture {
        Picture(SvgBackend.render_scene(&figure.render()))
    }

    /// Takes SVG that another program or library has drawn.
    #[must_use]
    pub fn from_svg(svg: String) -> Picture {
        Picture(svg)
    }

    /// Returns its SVG.
    #[must_use]
    pub fn svg(&self) -> &str {
        &self.0
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        fs::write(path, &self.0).map_err(|cause| Error::File { path: path.to_owned(), cause })
    }
}
