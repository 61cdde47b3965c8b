//! Costs as bars, ours beside the paper's.

use std::path::Path;

use anyhow::anyhow;
use plotters::coord::ranged1d::IntoSegmentedCoord as _;
use plotters::prelude::*;

use crate::live::draw::find_font;

use super::security::Line;

/// The scale, milliseconds: from a tenth of a microsecond to ten seconds.
const LEAST_MS: f64 = 1e-4;
const MOST_MS: f64 = 1e4;
const SIZE: (u32, u32) = (900, 640);
const OURS: RGBColor = RGBColor(0x2a, 0x6f, 0xb0);
const PAPER: RGBColor = RGBColor(0xd9, 0x7a, 0x1f);

/// Draws one panel for each group of lines, one below the other, into an SVG.
pub fn draw(path: &Path, panels: &[(&str, Vec<Line>)]) -> anyhow::Result<()> {
    find_font()?;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|e| anyhow!("{e}"))?;
    let total: usize = panels.iter().map(|(_, lines)| lines.len() + 3).sum();
    let mut rest = area.clone();
    for (title, lines) in panels {
        let share = SIZE.1 as usize * (lines.len() + 3) / total;
        let (panel, below) = rest.split_vertically(share as u32);
        rest = below;
        draw_panel(&panel, title, lines).map_err(|e| anyhow!("{e}"))?;
    }
    area.present().map_err(|e| anyhow!("{e}"))
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_panel(
    panel: &Panel<'_>,
    title: &str,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let rows = i32::try_from(lines.len())?;
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 17))
        .margin(8)
        .margin_right(40)
        .x_label_area_size(34)
        .y_label_area_size(330)
        .build_cartesian_2d(
            (LEAST_MS..MOST_MS).log_scale(),
            (0..rows - 1).into_segmented(),
        )?;
    let name = |row: &SegmentValue<i32>| match row {
        SegmentValue::CenterOf(row) => usize::try_from(rows - 1 - row)
            .ok()
            .and_then(|at| lines.get(at))
            .map_or_else(String::new, |line| line.what.clone()),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc("milliseconds, logarithmic: this machine in blue, the paper's in orange where its text gives one")
        .x_label_formatter(&|ms| format!("{ms}"))
        .y_labels(lines.len())
        .y_label_formatter(&name)
        .draw()?;
    for (line, row) in lines.iter().zip((0..rows).rev()) {
        let (from, to) = (SegmentValue::Exact(row), SegmentValue::Exact(row + 1));
        let bar = |ms: f64| {
            [
                (LEAST_MS, from.clone()),
                (ms.max(LEAST_MS * 1.1), to.clone()),
            ]
        };
        let ours = line.took.as_secs_f64() * 1000.0;
        let below = u32::from(line.paper.is_some()) * 9;
        let mut own = Rectangle::new(bar(ours), OURS.filled());
        own.set_margin(3, 3 + below, 0, 0);
        chart.draw_series([own])?;
        let mut label = in_words(ours);
        let mut end = ours.max(LEAST_MS * 1.1);
        if let Some((ms, _)) = line.paper {
            let mut theirs = Rectangle::new(bar(ms), PAPER.filled());
            theirs.set_margin(12, 3, 0, 0);
            chart.draw_series([theirs])?;
            label = format!("{label}; the paper {}", in_words(ms));
            end = end.max(ms);
        }
        let at = (end * 1.15, SegmentValue::CenterOf(row));
        chart.draw_series([Text::new(label, at, ("sans-serif", 12))])?;
    }
    Ok(())
}

fn in_words(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.1} us", ms * 1000.0)
    } else {
        format!("{ms:.1} ms")
    }
}
