//! GStreamer's elements by name, and the Debian package to install when one is missing.

use anyhow::Context;
use gst::prelude::*;
use gstreamer as gst;

/// A GStreamer element that this system does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "GStreamer has no element {element} here: install the Debian package {}",
    package_of(element)
)]
pub struct Missing {
    /// The element's name.
    pub element: String,
}

/// Initialises GStreamer; harmless when done already.
pub fn init() -> anyhow::Result<()> {
    gst::init().context("initialising GStreamer")
}

/// Makes an element.
pub fn make(name: &str) -> Result<gst::Element, Missing> {
    gst::ElementFactory::make(name)
        .build()
        .map_err(|_| Missing {
            element: name.to_owned(),
        })
}

/// Whether an element exists.
pub fn exists(name: &str) -> Result<(), Missing> {
    match gst::ElementFactory::find(name) {
        Some(_) => Ok(()),
        None => Err(Missing {
            element: name.to_owned(),
        }),
    }
}

/// The package of Debian 12 that has the element.
pub fn package_of(element: &str) -> &'static str {
    match element {
        "filesrc" | "capsfilter" | "queue" | "identity" => "libgstreamer1.0-0",
        "appsrc" | "appsink" | "audioconvert" | "audioresample" | "opusenc" | "videoconvert"
        | "videoscale" => "gstreamer1.0-plugins-base",
        "jpegdec" | "matroskademux" | "videoflip" | "vp8dec" | "vp8enc" => {
            "gstreamer1.0-plugins-good"
        }
        "x264enc" => "gstreamer1.0-plugins-ugly",
        _ => "gstreamer1.0-plugins-bad",
    }
}

/// Puts elements into a pipeline, one after the other.
pub(crate) fn chain(pipeline: &gst::Pipeline, elements: &[&gst::Element]) -> anyhow::Result<()> {
    pipeline.add_many(elements.iter().copied())?;
    gst::Element::link_many(elements.iter().copied()).context("linking the pipeline's elements")
}

/// The first error that a pipeline has reported since last asked.
pub(crate) fn error_of(pipeline: &gst::Pipeline) -> Option<anyhow::Error> {
    let message = pipeline
        .bus()?
        .pop_filtered(&[gst::MessageType::Error, gst::MessageType::Warning])?;
    match message.view() {
        gst::MessageView::Error(error) => {
            let detail = error.debug().unwrap_or_default();
            log::debug!("GStreamer: {detail}");
            let from = error.src().map(|src| src.name()).unwrap_or_default();
            Some(anyhow::anyhow!("{from}: {}", error.error()))
        }
        gst::MessageView::Warning(warning) => {
            log::warn!("GStreamer: {}", warning.error());
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_element_names_the_package_to_install() {
        init().expect("GStreamer");
        let error = make("nosuchenc").expect_err("there is no such element");
        assert_eq!(
            error.to_string(),
            "GStreamer has no element nosuchenc here: install the Debian package gstreamer1.0-plugins-bad"
        );
        assert_eq!(package_of("vp8enc"), "gstreamer1.0-plugins-good");
        assert_eq!(package_of("h264parse"), "gstreamer1.0-plugins-bad");
    }
}
