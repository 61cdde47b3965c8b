//! What an H.264 encoder promised with its first picture, and whether it keeps to it: what players were told holds for
//! the whole epoch.

use anyhow::Context;
use bytes::Bytes;
use gstreamer as gst;
use protocol::avc::AvcProfile;
use protocol::media::Codec;

/// Watches what comes out of one encoder.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    record: Option<Bytes>,
    last: Option<gst::ClockTime>,
}

impl Conduct {
    /// Looks at the next picture.
    pub(super) fn check(&mut self, sample: &gst::SampleRef) -> anyhow::Result<()> {
        let (_, record) = described(sample.caps().context("a picture without a format")?)?;
        anyhow::ensure!(
            self.record.is_none() || self.record.as_ref() == Some(&record),
            "it changed its parameter sets in mid-stream"
        );
        let at = sample.buffer().and_then(|buffer| buffer.pts());
        anyhow::ensure!(
            at >= self.last,
            "its pictures are out of order: it makes B-frames"
        );
        (self.record, self.last) = (Some(record), at);
        Ok(())
    }
}

/// The codec and its configuration record, out of what GStreamer says.
pub(super) fn described(caps: &gst::CapsRef) -> anyhow::Result<(Codec, Bytes)> {
    let record = record(caps)?;
    let profile = AvcProfile::of_record(&record).context("what the encoder says of its stream")?;
    Ok((Codec::H264(profile), record))
}

fn record(caps: &gst::CapsRef) -> anyhow::Result<Bytes> {
    let data = caps
        .structure(0)
        .and_then(|s| s.get::<gst::Buffer>("codec_data").ok());
    let data = data.context("the encoder gives no parameter sets")?;
    Ok(Bytes::copy_from_slice(&data.map_readable()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture at `at_ms` out of an encoder whose stream is of such a level.
    fn picture(level: u8, at_ms: u64) -> gst::Sample {
        crate::elements::init().expect("GStreamer");
        let record = [
            &[1, 66, 0xc0, level, 0xff, 0xe1, 0, 4, 0x67, 66, 0xc0, level][..],
            &[1, 0, 1, 0x68],
        ]
        .concat();
        let caps =
            gst::Caps::builder("video/x-h264").field("codec_data", gst::Buffer::from_slice(record));
        let mut buffer = gst::Buffer::new();
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::from_mseconds(at_ms));
        gst::Sample::builder()
            .caps(&caps.build())
            .buffer(&buffer)
            .build()
    }

    #[test]
    fn an_encoder_that_keeps_to_what_it_said_is_well() {
        let mut conduct = Conduct::default();
        for at in [0, 33, 66] {
            conduct.check(&picture(30, at)).expect("well");
        }
    }

    #[test]
    fn an_encoder_that_changes_its_parameters_or_the_order_of_pictures_is_not() {
        let error = |second: &gst::Sample| {
            let mut conduct = Conduct::default();
            conduct.check(&picture(30, 33)).expect("well");
            conduct.check(second).expect_err("not well").to_string()
        };
        assert!(error(&picture(31, 66)).contains("parameter sets"));
        assert!(error(&picture(30, 0)).contains("B-frames"));
        let bare = gst::Caps::new_empty_simple("video/x-h264");
        let bare = gst::Sample::builder().caps(&bare).build();
        assert!(error(&bare).contains("gives no parameter sets"));
    }
}
