//! The table at the end as a picture: horizontal bars, a group a step, each group to its own scale.

use anyhow::{Result, anyhow};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{Figure, Figures, Role, seconds};

const WIDTH: u32 = 960;
const BAR: u32 = 18;
const HEAD: u32 = 64;
const FOOT_LINE: u32 = 16;
/// Between two groups.
const GAP: u32 = 14;
/// For the names of steps and contenders.
const LEFT: u32 = 290;
/// Behind the longest bar, for what is written there.
const RIGHT: u32 = 130;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const PALE: RGBColor = RGBColor(0x6e, 0x77, 0x81);

fn colour(role: Role) -> RGBColor {
    match role {
        Role::Reference => RGBColor(0xaf, 0xb8, 0xc1),
        Role::Expert => RGBColor(0x6c, 0x9b, 0xd2),
        Role::PgOnce => RGBColor(0x1a, 0x7f, 0x37),
        Role::Limit => RGBColor(0xd4, 0xa7, 0x2c),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws it, with these lines below; gives SVG.
pub fn draw(figures: &[Figures], footer: &[String]) -> Result<String> {
    let mut svg = String::new();
    let groups: u32 = figures.iter().map(height).sum();
    let size = (WIDTH, HEAD + groups + FOOT_LINE * footer.len() as u32 + GAP);
    picture(SVGBackend::with_string(&mut svg, size).into_drawing_area(), figures, footer)
        .map_err(|error| anyhow!("could not draw the chart: {error}"))?;
    Ok(svg)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn picture(root: Area, figures: &[Figures], footer: &[String]) -> Drawn {
    root.fill(&WHITE)?;
    write(&root, "Seconds a step takes: shorter is better", (16, 20), &INK, 18, HPos::Left)?;
    let below = "Each step to its own scale; × is the time beside pg_once's.";
    write(&root, below, (16, 44), &PALE, 13, HPos::Left)?;
    let mut top = HEAD;
    for one in figures {
        group(&root, one, top)?;
        top += height(one);
    }
    for line in footer {
        write(&root, line, (16, top as i32 + FOOT_LINE as i32 / 2), &PALE, 12, HPos::Left)?;
        top += FOOT_LINE;
    }
    root.present()?;
    Ok(())
}

fn height(figures: &Figures) -> u32 {
    BAR * figures.contenders.len() as u32 + GAP
}

/// Draws a step's bars, from `top` on.
fn group(root: &Area, figures: &Figures, top: u32) -> Drawn {
    let count = figures.contenders.len();
    let bars = BAR * count as u32;
    write(root, &figures.step, (16, (top + BAR / 2) as i32), &INK, 14, HPos::Left)?;
    let longest = figures.contenders.iter().map(|figure| figure.seconds).fold(0.0, f64::max);
    let place = (LEFT as i32..(WIDTH - RIGHT) as i32, top as i32..(top + bars) as i32);
    let area = root.apply_coord_spec(Cartesian2d::<RangedCoordf64, RangedCoordf64>::new(
        0.0..longest,
        0.0..count as f64,
        place,
    ));
    for (at, figure) in figures.contenders.iter().enumerate() {
        let from = at as f64;
        let bar = [(0.0, from + 0.1), (figure.seconds, from + 0.9)];
        area.draw(&Rectangle::new(bar, colour(figure.role).filled()))?;
        let (end, middle) = area.map_coordinate(&(figure.seconds, from + 0.5));
        write(root, figure.role.name(), (LEFT as i32 - 8, middle), &PALE, 12, HPos::Right)?;
        write(root, &label(figures, figure), (end + 6, middle), &INK, 12, HPos::Left)?;
    }
    Ok(())
}

fn label(figures: &Figures, figure: &Figure) -> String {
    let time = format!("{} s", seconds(figure.seconds));
    match figures.ratio(figure.role, Role::PgOnce) {
        Some(times) if figure.role != Role::PgOnce => format!("{time} · {times:.2} ×"),
        _ => time,
    }
}

fn write(root: &Area, text: &str, at: (i32, i32), ink: &RGBColor, size: u32, side: HPos) -> Drawn {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(ink).pos(Pos::new(side, VPos::Center));
    root.draw_text(text, &style, at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Run;
    use crate::report::{Line, Report};
    use crate::step::Unit;

    #[test]
    fn each_contender_has_a_bar_and_its_time() {
        let run = |seconds| Run {
            seconds,
            client_cpu: 0.0,
            server_cpu: None,
            others_cpu: None,
            peak_bytes: None,
            written: None,
            server: None,
        };
        let runs = [[run(8.0)], [run(2.0)]];
        let lines = vec![Line::of("reference", 10, &runs[0]), Line::of("pg_once", 10, &runs[1])];
        let report = Report::new("stage", Unit { name: "rows", short: false }, lines, &[], &[], 1.0);
        let figures = Figures::of(&report, "stage", &Role::ALL.map(|role| (role.name(), role)));
        let svg = draw(&[figures], &["a machine".into()]).expect("can be drawn");
        for text in ["stage", "8.00 s · 4.00 ×", "2.00 s", "a machine"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 3, "the ground and two bars");
    }
}
