//! A bar chart of the ratios.

use std::{fs, path::Path};

use plotters::prelude::*;

use crate::{Result, report::Row};

const COLOURS: [RGBColor; 6] = [
    RGBColor(150, 150, 150),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
];

/// The greatest height of a bar. Longer bars are cut, so that bars near the floor stay distinct. A bar has its number
/// above it.
const HEIGHT_MAX: f64 = 2.5;

/// Draws two charts of bars for each workload and contender: rate and processor time, as ratios to the floor.
pub(crate) fn draw(path: &Path, results: &[(&str, Vec<Row>)]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let area = SVGBackend::new(path, (1300, 800)).into_drawing_area();
    area.fill(&WHITE)?;
    let (upper, lower) = area.split_vertically(400);
    let mut names: Vec<&'static str> = Vec::new();
    for row in results.iter().flat_map(|(_, rows)| rows) {
        if !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    let rate: fn(&Row) -> f64 = |row| row.rate_ratio;
    let cost: fn(&Row) -> f64 = |row| row.cost_ratio;
    for (area, title, number) in [
        (upper, "requests a second / floor: higher is better", rate),
        (lower, "processor time a request / floor: lower is better", cost),
    ] {
        let groups = results.len() as f64;
        let top = results.iter().flat_map(|(_, rows)| rows).map(number).fold(1.0, f64::max).min(HEIGHT_MAX) * 1.2;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(10)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..groups * 1.2, 0.0..top)?; // the right sixth has the legend
        chart.configure_mesh().disable_x_mesh().disable_x_axis().light_line_style(TRANSPARENT).draw()?;
        let width = 0.9 / names.len() as f64;
        for (at, (name, colour)) in names.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let bars = results.iter().enumerate().filter_map(|(group, (_, rows))| {
                let number = number(rows.iter().find(|row| row.name == *name)?);
                let (left, height) = (group as f64 + 0.05 + at as f64 * width, number.min(top / 1.2));
                Some((left, height, number))
            });
            let numbers = bars.clone().map(|(left, height, number)| {
                Text::new(format!("{number:.2}"), (left, height + top * 0.035), ("sans-serif", 12))
            });
            chart.draw_series(numbers)?;
            let bars = bars
                .map(|(left, height, _)| Rectangle::new([(left, 0.0), (left + width * 0.95, height)], colour.filled()));
            let legend = |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
            chart.draw_series(bars)?.label(*name).legend(legend);
        }
        let titles = results.iter().enumerate();
        let titles = titles.map(|(group, (name, _))| {
            Text::new((*name).to_owned(), (group as f64 + 0.05, top * 0.99), ("sans-serif", 18))
        });
        chart.draw_series(titles)?;
        chart.draw_series([PathElement::new([(0.0, 1.0), (groups, 1.0)], BLACK)])?;
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).label_font(("sans-serif", 16)).draw()?;
    }
    area.present()?;
    Ok(())
}
