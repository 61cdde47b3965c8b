//! How a simulation went, second by second: as a table, and drawn.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{anyhow, bail};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Outcome, Plan, Sample};
use crate::live::draw::{Canvas, Drawn, draw_key, find_font};

const SIZE: (u32, u32) = (1000, 420);

/// One line a second, with a header.
pub fn csv(outcome: &Outcome) -> String {
    let mut text = String::from("s,alive,playing,stalled,stalls,takeovers,deepest,mean_depth\n");
    for s in &outcome.samples {
        let at = s.at.as_secs_f64();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{at:.0},{},{},{},{},{},{},{:.2}",
            s.alive, s.playing, s.stalled, s.stalls, s.takeovers, s.deepest, s.mean_depth
        );
    }
    text
}

/// Draws how deep the tree was, and who saw nothing, into a file whose name ends in `.svg` or `.png`.
pub fn draw(plan: &Plan, outcome: &Outcome, path: &Path) -> anyhow::Result<()> {
    find_font()?;
    let drawn = match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => figure(
            &SVGBackend::new(path, SIZE).into_drawing_area(),
            plan,
            outcome,
        ),
        Some("png") => figure(
            &BitMapBackend::new(path, SIZE).into_drawing_area(),
            plan,
            outcome,
        ),
        _ => bail!("{}: the name must end in .svg or .png", path.display()),
    };
    drawn.map_err(|e| anyhow!("{}: {e}", path.display()))
}

type Line<'a> = (&'a str, RGBColor, fn(&Sample) -> f64);

fn figure<B: Canvas>(area: &DrawingArea<B, Shift>, plan: &Plan, outcome: &Outcome) -> Drawn {
    area.fill(&WHITE)?;
    let title = format!(
        "{} viewers, {} failures a second ({:?}, {}), seed {}: {} stalls, {:.1} s",
        plan.viewers,
        plan.failures_per_s,
        plan.failure,
        plan.victims.name(),
        plan.seed,
        outcome.stalls,
        outcome.stalled.as_secs_f64()
    );
    let area = area.titled(&title, ("sans-serif", 18))?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let depth: [Line<'_>; 2] = [
        ("deepest", RGBColor(0xd9, 0x7a, 0x1f), |s| s.deepest.into()),
        ("mean", RGBColor(0x2a, 0x6f, 0xb0), |s| s.mean_depth),
    ];
    panel(&left, "links to the broadcaster", outcome, &depth)?;
    let stalled: [Line<'_>; 1] = [("stalled", RGBColor(0xd9, 0x7a, 0x1f), |s| s.stalled as f64)];
    panel(
        &right,
        "viewers whose picture stands still",
        outcome,
        &stalled,
    )?;
    area.present()?;
    Ok(())
}

fn panel<B: Canvas>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    outcome: &Outcome,
    lines: &[Line<'_>],
) -> Drawn {
    let points = |value: fn(&Sample) -> f64| {
        let samples = outcome.samples.iter();
        samples.map(move |s| (s.at.as_secs_f64(), value(s)))
    };
    let end = outcome.samples.last().map_or(1.0, |s| s.at.as_secs_f64());
    let all = lines.iter().flat_map(|line| points(line.2));
    let most = all.map(|(_, value)| value).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..end, 0.0..most)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|at| format!("{at:.0}"))
        .x_desc("seconds")
        .disable_x_mesh()
        .light_line_style(WHITE)
        .draw()?;
    for &(words, colour, value) in lines {
        let style = colour.stroke_width(2);
        chart
            .draw_series([PathElement::new(points(value).collect::<Vec<_>>(), style)])?
            .label(words)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    draw_key(&mut chart)
}
