//! Simulated encoders: elements registered under the names of hardware that is not here. Inside is libvpx, and around it
//! what hardware does when it is broken.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

/// When the third of them fails.
#[derive(Debug)]
#[allow(dead_code)] // each program that has this module uses its part
pub(crate) enum Failing {
    /// After so many pictures.
    After(u64),
    /// Once there is such a file.
    When(PathBuf),
}

static FAILING: OnceLock<Failing> = OnceLock::new();

/// Whether it fails at this picture.
fn fails(seen: u64) -> bool {
    match FAILING.get() {
        Some(Failing::After(count)) => seen >= *count,
        Some(Failing::When(path)) => path.exists(),
        None => false,
    }
}

/// A simulated encoder: a bin with libvpx in it.
macro_rules! simulated {
    ($module:ident, $name:literal, $before:literal, $fails:expr, $starts:expr) => {
        mod $module {
            use super::*;

            #[derive(Default)]
            pub(super) struct Imp {
                seen: AtomicU64,
            }

            #[glib::object_subclass]
            impl ObjectSubclass for Imp {
                const NAME: &'static str = $name;
                type Type = Simulated;
                type ParentType = gst::Bin;
            }

            glib::wrapper! {
                pub(super) struct Simulated(ObjectSubclass<Imp>) @extends gst::Bin, gst::Element, gst::Object;
            }

            impl ObjectImpl for Imp {
                fn constructed(&self) {
                    self.parent_constructed();
                    let inside = concat!($before, " ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=10");
                    let inside = gst::parse::bin_from_description(inside, true).expect("libvpx");
                    let bin = self.obj();
                    bin.add(&inside).expect("a child");
                    for name in ["sink", "src"] {
                        let target = inside.static_pad(name).expect("a pad");
                        let pad = gst::GhostPad::with_target(&target).expect("a pad");
                        bin.add_pad(&pad).expect("a pad");
                    }
                    let sink = bin.static_pad("sink").expect("a pad");
                    let weak = bin.downgrade();
                    sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                        let Some(bin) = weak.upgrade() else {
                            return gst::PadProbeReturn::Ok;
                        };
                        let seen = bin.imp().seen.fetch_add(1, Ordering::Relaxed);
                        if $fails(seen) {
                            gst::element_error!(bin, gst::ResourceError::Failed, ["it was said to fail now"]);
                        }
                        gst::PadProbeReturn::Ok
                    });
                }
            }

            impl GstObjectImpl for Imp {}

            impl ElementImpl for Imp {
                fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
                    static ABOUT: OnceLock<gst::subclass::ElementMetadata> = OnceLock::new();
                    Some(ABOUT.get_or_init(|| {
                        gst::subclass::ElementMetadata::new($name, "Codec/Encoder/Video", "simulated", "a test")
                    }))
                }

                fn change_state(
                    &self,
                    change: gst::StateChange,
                ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
                    if change == gst::StateChange::ReadyToPaused && !$starts {
                        return Err(gst::StateChangeError);
                    }
                    self.parent_change_state(change)
                }
            }

            impl BinImpl for Imp {}
        }
    };
}

simulated!(dead, "SimulatedDead", "identity", |_| false, false);
simulated!(
    wrong,
    "SimulatedWrong",
    "videoflip video-direction=180",
    |_| false,
    true
);
simulated!(frail, "SimulatedFrail", "identity", fails, true);

/// Registers all three, for this process: `v4l2vp8enc` does not start, `mppvp8enc` turns pictures upside down, and
/// `vavp8enc` is well until it fails.
pub(crate) fn register(failing: Failing) {
    FAILING.get_or_init(|| {
        gst::init().expect("GStreamer");
        let rank = gst::Rank::NONE;
        let all = [
            ("v4l2vp8enc", dead::Simulated::static_type()),
            ("mppvp8enc", wrong::Simulated::static_type()),
            ("vavp8enc", frail::Simulated::static_type()),
        ];
        for (name, class) in all {
            gst::Element::register(None, name, rank, class).expect("registered");
        }
        failing
    });
}
