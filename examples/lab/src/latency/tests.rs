//! Do the pictures show the data?

use super::*;

fn measured(delay_ms: u32, buffers: Buffers, bandwidth: f64) -> Measurement {
    Measurement { delay_ms, buffers, bandwidth }
}

fn windows_at(time: f64, acknowledged: u64) -> Windows {
    Windows { time, congestion: 20 << 10, advertised: 40 << 10, in_flight: 10 << 10, acknowledged }
}

/// Returns the number in an attribute of each element of a kind and colour.
fn attribute(svg: &str, element: &str, color: &str, name: &str) -> Vec<f64> {
    svg.split('<')
        .filter(|it| it.starts_with(element) && it.contains(&format!("fill=\"{color}\"")))
        .map(|it| {
            let (_, rest) = it.split_once(&format!(" {name}=\"")).expect("the attribute");
            rest.split_once('"').expect("its end").0.parse().expect("a number")
        })
        .collect()
}

/// Returns the points of the lines of a colour.
fn lines(svg: &str, color: &str) -> Vec<Vec<(f64, f64)>> {
    svg.split("<path d=\"")
        .skip(1)
        .filter_map(|it| it.split_once('"'))
        .filter(|(_, rest)| {
            rest.split('>').next().is_some_and(|it| it.contains(&format!("stroke=\"{color}\"")))
        })
        .map(|(path, _)| {
            let numbers: Vec<f64> =
                path.split(['M', 'L', ' ']).filter_map(|it| it.parse().ok()).collect();
            numbers.chunks(2).map(|it| (it[0], it[1])).collect()
        })
        .collect()
}

#[test]
fn a_summary_has_the_median_of_odd_and_even_numbers_of_transfers() {
    let of = |values: &[f64]| {
        let all: Vec<_> = values.iter().map(|it| measured(5, Buffers::Auto, *it)).collect();
        let [it] = summaries(&all)[..] else { panic!("one row") };
        (it.repetitions, it.minimum, it.median, it.maximum)
    };
    assert_eq!(of(&[3.0]), (1, 3.0, 3.0, 3.0));
    assert_eq!(of(&[9.0, 1.0, 2.0]), (3, 1.0, 2.0, 9.0));
    assert_eq!(of(&[9.0, 1.0, 2.0, 4.0]), (4, 1.0, 3.0, 9.0));
    assert_eq!(summaries(&[]), []);
}

#[test]
fn every_transfer_is_a_point_and_the_line_passes_through_the_medians() {
    let mut fixed = vec![measured(20, Buffers::Fixed, 10e6)];
    fixed.extend([1e6, 10e6, 100e6].map(|it| measured(0, Buffers::Fixed, it)));
    let auto = [measured(0, Buffers::Auto, 10e6), measured(20, Buffers::Auto, 1e6)];
    let picture = bandwidth(&[&fixed[..], &auto[..]].concat(), "").expect("a picture");
    let (blue, red) = (colour::BLUE, colour::RED);
    // The legend has one more of each.
    let circles = attribute(picture.svg(), "circle", blue, "cy");
    let [right, low, middle, high, _] = circles[..] else { panic!("{circles:?}") };
    assert!((low - middle - (middle - high)).abs() < 0.1, "the axis is logarithmic: {circles:?}");
    assert!(low > high, "more is above: {circles:?}");
    let medians = &lines(picture.svg(), blue)[0];
    assert_eq!(medians.iter().map(|it| it.1).collect::<Vec<_>>(), [middle, right]);
    // A square's place is its upper left corner.
    let squares = attribute(picture.svg(), "rect", red, "x");
    let tops = attribute(picture.svg(), "rect", red, "y");
    assert_eq!(squares.len(), 3);
    let corners: Vec<_> = squares.into_iter().zip(tops).take(2).collect();
    let medians = &lines(picture.svg(), red)[0];
    for ((x, y), (corner_x, corner_y)) in medians.iter().zip(corners) {
        assert!((x - corner_x - 4.5).abs() < 0.1 && (y - corner_y - 4.5).abs() < 0.1);
    }
    assert_eq!(medians[0].1, middle, "equal bandwidths are equally high");
    assert!((medians[1].1 - low).abs() < 0.1, "equal bandwidths are equally high");
}

#[test]
fn a_picture_without_data_is_an_error() {
    assert!(matches!(bandwidth(&[], ""), Err(Error::Empty(_))));
    let nothing = [measured(0, Buffers::Auto, 0.0)];
    assert!(matches!(bandwidth(&nothing, ""), Err(Error::Empty(_))));
    assert!(matches!(windows(&[], ""), Err(Error::Empty(_))));
    let empty = Trace { buffers: Buffers::Auto, delay_ms: 5, windows: Vec::new() };
    assert!(matches!(windows(&[empty], ""), Err(Error::Empty(_))));
}

#[test]
fn a_rate_covers_an_interval_and_the_last_one_its_part() {
    let all: Vec<_> = [(0.0, 0), (0.05, 100), (0.1, 150), (0.35, 450), (0.45, 500)]
        .map(|(time, acknowledged)| windows_at(time, acknowledged))
        .to_vec();
    let rates: Vec<(i64, i64)> = rates(&all, 0.1)
        .into_iter()
        .map(|(time, rate)| ((time * 1000.0).round() as i64, rate.round() as i64))
        .collect();
    // What is acknowledged at the end of an interval belongs to the next one.
    assert_eq!(rates, [(0, 1000), (100, 500), (200, 0), (300, 3000), (400, 1000)]);
    assert_eq!(super::rates(&all[..1], 0.1), []);
    assert_eq!(super::rates(&[], 0.1), []);
}

#[test]
fn windows_are_drawn_as_high_as_they_are() {
    let windows_of = |delay_ms| Trace {
        buffers: Buffers::Fixed,
        delay_ms,
        windows: vec![windows_at(0.0, 0), windows_at(0.1, 4000), windows_at(0.2, 9000)],
    };
    let picture = windows(&[windows_of(10)], "").expect("a picture");
    let height = |color| {
        let lines = lines(picture.svg(), color);
        assert_eq!(lines[0].len(), 3, "{color}: {lines:?}");
        lines[0][0].1
    };
    // Colours of WINDOWS: 20, 40 and 10 KiB. Heights count from the top.
    let (congestion, advertised) = (height(colour::BLUE), height(colour::ORANGE));
    let in_flight = height(colour::BLACK);
    assert!(advertised < congestion && congestion < in_flight);
    assert!((congestion - advertised - 2.0 * (in_flight - congestion)).abs() < 0.1);
}

#[test]
fn a_single_acknowledgement_has_a_picture() {
    let trace = Trace { buffers: Buffers::Auto, delay_ms: 0, windows: vec![windows_at(0.0, 0)] };
    let picture = windows(&[trace], "").expect("a picture");
    let texts: Vec<&str> =
        picture.svg().split("</text>").filter_map(|it| it.rsplit('>').next()).collect();
    assert!(texts.contains(&"time (s)"));
    assert!(!texts.iter().any(|it| it.starts_with('-')), "time is negative: {texts:?}");
    assert!(!picture.svg().contains("NaN"));
}

#[test]
fn a_long_connection_has_a_picture_of_bounded_size_with_all_peaks() {
    let mut points: Vec<_> = (0..100_000).map(|i| (f64::from(i) / 1000.0, 10.0)).collect();
    points[33_333].1 = 99.0;
    points[77_777].1 = 1.0;
    let thin = thinned(points.clone());
    assert!(thin.len() <= 2 * (COLUMNS + 1), "{}", thin.len());
    assert!(thin.is_sorted_by(|one, next| one.0 < next.0));
    assert!(thin.contains(&points[33_333]) && thin.contains(&points[77_777]));
    // Few points stay as they are.
    points.truncate(500);
    assert_eq!(thinned(points.clone()), points);
}
