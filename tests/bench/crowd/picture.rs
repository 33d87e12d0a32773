//! Two charts: the clients of each process, and the memory as the clients come.

use std::{fs, path::Path};

use plotters::prelude::*;

use crate::{Result, Sample};

const SERVERS: RGBColor = RGBColor(31, 119, 180);
const KERNEL: RGBColor = RGBColor(150, 150, 150);

pub(crate) fn draw(path: &Path, each: &[usize], samples: &[Sample]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let area = SVGBackend::new(path, (1300, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(500);

    let top = each.iter().copied().max().unwrap_or(1) as f64 * 1.15;
    let mut chart = ChartBuilder::on(&left)
        .caption("clients of each process", ("sans-serif", 20))
        .margin(10)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..each.len() as f64, 0.0..top)?;
    chart.configure_mesh().disable_x_mesh().disable_x_axis().light_line_style(TRANSPARENT).draw()?;
    let bars = each.iter().enumerate().map(|(n, clients)| {
        let left = n as f64 + 0.1;
        Rectangle::new([(left, 0.0), (left + 0.8, *clients as f64)], SERVERS.filled())
    });
    chart.draw_series(bars)?;
    let numbers = each.iter().enumerate().map(|(n, clients)| {
        let position = (n as f64 + 0.15, *clients as f64 + top * 0.06);
        Text::new(crate::thousands(*clients), position, ("sans-serif", 16))
    });
    chart.draw_series(numbers)?;

    let clients = samples.iter().map(|sample| sample.clients).max().unwrap_or(1) as f64;
    let mega = |bytes: u64| bytes as f64 / 1e6;
    let most = samples.iter().map(|sample| mega(sample.servers.max(sample.kernel))).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&right)
        .caption("MB of memory by the number of clients", ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..clients, 0.0..most * 1.1)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).draw()?;
    type Memory = fn(&Sample) -> u64;
    let lines: [(&str, RGBColor, Memory); 2] = [
        ("the kernel, for both ends", KERNEL, |sample| sample.kernel),
        ("all servers", SERVERS, |sample| sample.servers),
    ];
    for (name, colour, memory) in lines {
        let points = samples.iter().map(|sample| (sample.clients as f64, mega(memory(sample))));
        let line = PathElement::new(points.collect::<Vec<_>>(), colour.stroke_width(3));
        let legend = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
        chart.draw_series([line])?.label(name).legend(legend);
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).label_font(("sans-serif", 16)).draw()?;
    area.present()?;
    Ok(())
}
