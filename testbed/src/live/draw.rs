//! The paper's figures 6 to 11 with ours beside them, as SVG and as PNG, and a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

use super::kept::Kept;
use super::{Fault, Record, System};
use crate::victims::Distribution;

const SIZE: (u32, u32) = (1000, 420);
const RATES: std::ops::RangeInclusive<u32> = 1..=5;

/// One figure of the paper: which number it has there, and what its words say of it; its pictures' other values are
/// not in the text.
struct Figure {
    number: u8,
    distribution: Distribution,
    /// Failures a second, stalls, stalled seconds.
    stated: &'static [(u32, f64, f64)],
}

const FIGURES: [Figure; 5] = [
    Figure {
        number: 6,
        distribution: Distribution::Uniform,
        stated: &[(1, 36.0, 28.0), (4, 152.0, 127.0)],
    },
    Figure {
        number: 7,
        distribution: Distribution::Binomial,
        stated: &[(2, 0.0, 0.0), (4, 0.0, 0.0)],
    },
    Figure {
        number: 8,
        distribution: Distribution::Poisson,
        stated: &[],
    },
    Figure {
        number: 9,
        distribution: Distribution::Beta,
        stated: &[],
    },
    Figure {
        number: 10,
        distribution: Distribution::ChiSquared,
        stated: &[],
    },
];
/// What the paper did not try: who fails says nothing (SIGKILL), or stands still (SIGSTOP); so often a second.
const HARD_RATE: f64 = 3.0;
const HARD: [(Fault, Distribution); 4] = [
    (Fault::Kill, Distribution::Uniform),
    (Fault::Freeze, Distribution::Uniform),
    (Fault::Kill, Distribution::Beta),
    (Fault::Freeze, Distribution::Beta),
];
/// Letters are drawn with the first of these that there is: Debian's `fonts-dejavu-core` and `fonts-liberation`.
const FONTS: [&str; 3] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation2/LiberationSans-Regular.ttf",
];
const PAPER: RGBColor = RGBColor(0x20, 0x20, 0x20);

const fn colour(system: System) -> RGBColor {
    match system {
        System::Paper300 => RGBColor(0xd9, 0x7a, 0x1f),
        System::Paper500 => RGBColor(0xe0, 0xa8, 0x30),
        System::Paper1000 => RGBColor(0xb0, 0xa0, 0x60),
        System::Ours => RGBColor(0x2a, 0x6f, 0xb0),
        System::Relays => RGBColor(0x2f, 0x9e, 0x6e),
    }
}

fn called(system: System) -> &'static str {
    match system {
        System::Paper300 => "paper mode, hold 300 ms",
        System::Paper500 => "paper mode, hold 500 ms",
        System::Paper1000 => "paper mode, hold 1 s",
        System::Ours => "ours, no relays",
        System::Relays => "ours, three relays",
    }
}

/// What a figure shows of a run.
type Value = fn(&Record) -> f64;

fn average_s(record: &Record) -> f64 {
    match record.stalls {
        0 => 0.0,
        stalls => record.stalled_s / stalls as f64,
    }
}

/// Draws them into a folder, each as SVG and as PNG, with the table beside them.
pub fn draw(runs: &[Kept], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    find_font()?;
    for figure in &FIGURES {
        let name = format!("fig-{:02}-{}", figure.number, figure.distribution.name());
        let (svg, png) = paths(folder, &name);
        let areas = (
            SVGBackend::new(&svg, SIZE).into_drawing_area(),
            BitMapBackend::new(&png, SIZE).into_drawing_area(),
        );
        draw_figure(&areas.0, figure, runs).map_err(|e| anyhow!("{}: {e}", svg.display()))?;
        draw_figure(&areas.1, figure, runs).map_err(|e| anyhow!("{}: {e}", png.display()))?;
    }
    let (svg, png) = paths(folder, "fig-11-average");
    let size = (SIZE.0, SIZE.1 * 2);
    let areas = (
        SVGBackend::new(&svg, size).into_drawing_area(),
        BitMapBackend::new(&png, size).into_drawing_area(),
    );
    draw_averages(&areas.0, runs).map_err(|e| anyhow!("{}: {e}", svg.display()))?;
    draw_averages(&areas.1, runs).map_err(|e| anyhow!("{}: {e}", png.display()))?;
    let (svg, png) = paths(folder, "kill-and-freeze");
    let areas = (
        SVGBackend::new(&svg, SIZE).into_drawing_area(),
        BitMapBackend::new(&png, SIZE).into_drawing_area(),
    );
    draw_hard(&areas.0, runs).map_err(|e| anyhow!("{}: {e}", svg.display()))?;
    draw_hard(&areas.1, runs).map_err(|e| anyhow!("{}: {e}", png.display()))?;
    fs::write(folder.join("table.md"), table(runs)).context("writing the table")
}

fn paths(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let with = |ending: &str| folder.join(format!("{name}.{ending}"));
    (with("svg"), with("png"))
}

/// Tells the plotting library which letters to draw with.
pub(crate) fn find_font() -> anyhow::Result<()> {
    let found = FONTS.iter().find_map(|path| fs::read(path).ok());
    let bytes = found.context("no font to draw figures with: apt-get install fonts-dejavu-core")?;
    register_font("sans-serif", FontStyle::Normal, Vec::leak(bytes)).map_err(|_| {
        anyhow!("the font cannot be read: apt-get install --reinstall fonts-dejavu-core")
    })
}

pub(crate) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Somewhere to draw, with errors that can be passed on.
pub(crate) trait Canvas: DrawingBackend<ErrorType: 'static> {}

impl<B: DrawingBackend<ErrorType: 'static>> Canvas for B {}

fn draw_figure<B: Canvas>(area: &DrawingArea<B, Shift>, figure: &Figure, runs: &[Kept]) -> Drawn {
    area.fill(&WHITE)?;
    let title = format!(
        "{} failures of 80 viewers, 60 s, clean closes (the paper's Fig. {})",
        figure.distribution.name(),
        figure.number
    );
    let area = area.titled(&title, ("sans-serif", 18))?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let stalls: Vec<(u32, f64)> = figure.stated.iter().map(|s| (s.0, s.1)).collect();
    let seconds: Vec<(u32, f64)> = figure.stated.iter().map(|s| (s.0, s.2)).collect();
    let of = |value: Value| series(runs, figure.distribution, value);
    panel(&left, "stalls", &of(|r| r.stalls as f64), &stalls, true)?;
    panel(
        &right,
        "stalled time in all, s",
        &of(|r| r.stalled_s),
        &seconds,
        false,
    )?;
    area.present()?;
    Ok(())
}

fn draw_averages<B: Canvas>(area: &DrawingArea<B, Shift>, runs: &[Kept]) -> Drawn {
    area.fill(&WHITE)?;
    let title = "mean length of a stall, s (the paper's Fig. 11)";
    let area = area.titled(title, ("sans-serif", 18))?;
    for (cell, figure) in area.split_evenly((2, 3)).iter().zip(&FIGURES) {
        let lines = series(runs, figure.distribution, average_s);
        panel(
            cell,
            figure.distribution.name(),
            &lines,
            &[],
            figure.number == 6,
        )?;
    }
    area.present()?;
    Ok(())
}

fn draw_hard<B: Canvas>(area: &DrawingArea<B, Shift>, runs: &[Kept]) -> Drawn {
    area.fill(&WHITE)?;
    let title = format!(
        "{HARD_RATE} of 80 viewers a second die without a word (kill) or stand still (freeze), 60 s"
    );
    let area = area.titled(&title, ("sans-serif", 18))?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    bars(&left, "stalls", runs, |r| r.stalls as f64)?;
    bars(&right, "stalled time in all, s", runs, |r| r.stalled_s)?;
    area.present()?;
    Ok(())
}

/// The mean of a system's runs of one kind, if there are any.
fn of_hard(runs: &[Kept], system: System, at: usize, value: Value) -> Option<f64> {
    let (fault, distribution) = HARD[at];
    let fits = |kept: &&Kept| {
        let r = &kept.record;
        !kept.simulated
            && r.system == system.name()
            && r.fault == fault.name()
            && r.distribution == distribution.name()
            && (r.rate - HARD_RATE).abs() < 0.5
    };
    let values: Vec<f64> = runs.iter().filter(fits).map(|k| value(&k.record)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn bars<B: Canvas>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    runs: &[Kept],
    value: Value,
) -> Drawn {
    let kinds = 0..HARD.len();
    let values = |system| {
        kinds
            .clone()
            .map(move |at| of_hard(runs, system, at, value))
    };
    let systems: Vec<System> = System::ALL
        .into_iter()
        .filter(|&system| values(system).any(|v| v.is_some()))
        .collect();
    let all = systems.iter().flat_map(|&system| values(system).flatten());
    let most = all.fold(1.0, f64::max) * 1.2;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..HARD.len() as f64, 0.0..most)?;
    chart
        .configure_mesh()
        .x_labels(2 * HARD.len() + 1)
        .x_label_formatter(&|x: &f64| {
            let kind = HARD.get(x.floor() as usize);
            let is_middle = (x.fract() - 0.5).abs() < 0.1;
            kind.filter(|_| is_middle)
                .map_or_else(String::new, |(fault, distribution)| {
                    format!("{}, {}", fault.name(), distribution.name())
                })
        })
        .disable_x_mesh()
        .light_line_style(WHITE)
        .draw()?;
    let width = 0.8 / systems.len().max(1) as f64;
    for (nth, &system) in systems.iter().enumerate() {
        let colour = colour(system);
        let left = |at: usize| at as f64 + 0.1 + nth as f64 * width;
        let known: Vec<(f64, f64)> = kinds
            .clone()
            .filter_map(|at| Some((left(at), of_hard(runs, system, at, value)?)))
            .collect();
        let bar = |&(x, v): &(f64, f64)| {
            Rectangle::new([(x, 0.0), (x + width * 0.9, v)], colour.filled())
        };
        chart
            .draw_series(known.iter().map(bar))?
            .label(called(system))
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 18, y + 4)], colour.filled()));
        // Nothing at all is to be seen as well.
        let said = |&(x, v): &(f64, f64)| {
            Text::new(format!("{v:.0}"), (x, v + most * 0.04), ("sans-serif", 12))
        };
        chart.draw_series(known.iter().map(said))?;
    }
    draw_key(&mut chart)
}

/// Both axes are numbers.
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Says which colour is what.
pub(crate) fn draw_key<'a, B: Canvas + 'a>(chart: &mut Chart<'a, B>) -> Drawn {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}

/// A system's values by rate: the mean of its samples.
type Line = (System, bool, Vec<(f64, f64)>);

fn series(runs: &[Kept], distribution: Distribution, value: Value) -> Vec<Line> {
    let line = |system: System, simulated: bool| {
        let mut by_rate: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for kept in runs {
            let r = &kept.record;
            let fits = kept.simulated == simulated
                && r.system == system.name()
                && r.distribution == distribution.name()
                && r.fault == "close";
            if fits {
                by_rate
                    .entry(r.rate.round() as u32)
                    .or_default()
                    .push(value(r));
            }
        }
        let mean = |v: Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
        let points: Vec<(f64, f64)> = by_rate
            .into_iter()
            .map(|(rate, values)| (f64::from(rate), mean(values)))
            .collect();
        (system, simulated, points)
    };
    let both = [true, false].into_iter();
    both.flat_map(|simulated| System::ALL.map(|system| line(system, simulated)))
        .filter(|(.., points)| !points.is_empty())
        .collect()
}

fn panel<B: Canvas>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    lines: &[Line],
    stated: &[(u32, f64)],
    with_legend: bool,
) -> Drawn {
    let stated: Vec<(f64, f64)> = stated.iter().map(|&(r, v)| (f64::from(r), v)).collect();
    let all = lines.iter().flat_map(|(.., points)| points).chain(&stated);
    let most = all.map(|&(_, value)| value).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.8..5.2, 0.0..most)?;
    chart
        .configure_mesh()
        .x_labels(RATES.count())
        .x_label_formatter(&|rate| format!("{rate:.0}"))
        .x_desc("failures a second")
        .disable_x_mesh()
        .light_line_style(WHITE)
        .draw()?;
    for (system, simulated, points) in lines {
        let colour = colour(*system);
        let style = match simulated {
            true => colour.mix(0.6).stroke_width(1),
            false => colour.stroke_width(2),
        };
        let words = match simulated {
            true => format!("{} (simulated)", called(*system)),
            false => called(*system).to_owned(),
        };
        chart
            .draw_series([PathElement::new(points.clone(), style)])?
            .label(words)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        if !simulated {
            chart.draw_series(points.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
        }
    }
    if !stated.is_empty() {
        chart
            .draw_series(
                stated
                    .iter()
                    .map(|&at| Cross::new(at, 5, PAPER.stroke_width(2))),
            )?
            .label("what the paper's text states")
            .legend(|(x, y)| Cross::new((x + 9, y), 5, PAPER.stroke_width(2)));
    }
    if with_legend {
        draw_key(&mut chart)?;
    }
    Ok(())
}

/// All runs with the real programs, one a line; then what the simulated ones came to.
fn table(runs: &[Kept]) -> String {
    let show = |n: Option<u64>| n.map_or_else(|| "–".into(), |n: u64| n.to_string());
    let mut text = String::from(
        "| system | failures | distribution | a second | lives | stalls | stalled, s | re-join p50, ms | latency p50, ms | deepest p99, ms | depth | hold, ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for kept in runs.iter().filter(|kept| !kept.simulated) {
        let r = &kept.record;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.2} | {} | {} | {} | {} | {} |",
            r.system,
            r.fault,
            r.distribution,
            r.rate,
            r.lives,
            r.stalls,
            r.stalled_s,
            show(r.rejoin_p50_ms),
            show(r.latency_p50_ms),
            show(r.deepest_latency_p99_ms),
            r.deepest,
            r.hold_max_ms
        ); // writing to a String does not fail
    }
    text.push_str("\nSimulated, four samples of each rate from 1 to 5 a second:\n\n| system | distribution | lives | stalls | stalled, s |\n|---|---|---|---|---|\n");
    for system in System::ALL {
        for distribution in Distribution::ALL {
            let of_it = |kept: &&Kept| {
                kept.simulated
                    && kept.record.system == system.name()
                    && kept.record.distribution == distribution.name()
            };
            let own: Vec<&Record> = runs.iter().filter(of_it).map(|kept| &kept.record).collect();
            if own.is_empty() {
                continue;
            }
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.2} |",
                system.name(),
                distribution.name(),
                own.iter().map(|r| r.lives).sum::<usize>(),
                own.iter().map(|r| r.stalls).sum::<u64>(),
                own.iter().map(|r| r.stalled_s).sum::<f64>()
            ); // writing to a String does not fail
        }
    }
    text
}
