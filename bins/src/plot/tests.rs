use super::*;

const CLASSES: [&str; 3] = ["a", "b", "c"];

/// `n` points in each of three directions and their opposites, at different lengths.
fn three<const D: usize>(n: usize) -> (Vec<[f32; D]>, Vec<usize>) {
    let labels: Vec<usize> = (0..3 * n).map(|i| i % 3).collect();
    let point = |(i, &class): (usize, &usize)| {
        let mut point = [0.01 * (i % 7) as f32; D];
        point[class % D] += (1.0 + i as f32 / n as f32) * if class < D { 1.0 } else { -1.0 };
        point.map(|x| if i % 2 == 0 { x } else { -x })
    };
    (labels.iter().enumerate().map(point).collect(), labels)
}

fn scatter<'a, const D: usize>(points: &'a [[f32; D]], labels: &'a [usize]) -> Scatter<'a, D> {
    Scatter {
        title: "t",
        subtitle: "s",
        points,
        labels,
        weights: &[],
        classes: &CLASSES,
        features: Features::Raw,
    }
}

/// The places of the dots in the order of painting, relative to the group they are in.
fn dots(svg: &str) -> Vec<[f64; 2]> {
    let starts = svg.split("h0").filter_map(|before| before.rsplit_once('M'));
    let all = starts.filter_map(|(_, place)| place.split_once(' '));
    all.filter_map(|(x, y)| Some([x.parse().ok()?, y.parse().ok()?]))
        .collect()
}

/// Everything that must hold for any picture.
fn check(svg: &str) {
    let document = roxmltree::Document::parse(svg).expect("well-formed XML");
    assert_eq!(document.root_element().tag_name().name(), "svg");
    for node in document.descendants() {
        assert!(
            !node.has_attribute("id"),
            "ids clash when pictures share a page"
        );
        for a in node.attributes() {
            assert!(
                !a.value().contains("NaN") && !a.value().contains("inf"),
                "{a:?}"
            );
        }
        let long = |word: &str| word.rsplit_once('.').is_some_and(|(_, d)| d.len() > 1);
        let path = node.attribute("d").unwrap_or("");
        let words = path.split(|c: char| c.is_ascii_alphabetic() || c == ' ');
        assert_eq!(words.filter(|w| long(w)).count(), 0, "rounded to 0.1 px");
    }
}

#[test]
fn every_panel_is_well_formed_and_the_same_each_time() {
    let (plane, labels) = three::<2>(50);
    let (space, _) = three::<3>(50);
    let raw = scatter(&plane, &labels);
    let unit = Scatter {
        features: Features::Unit,
        weights: &[[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]],
        ..raw
    };
    let points = [(0.0, 1.0), (1.0, 0.1)];
    let series = [Series {
        name: "train",
        points: &points,
    }];
    let curves = Curves {
        title: "loss",
        x_label: "epoch",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        series: &series,
    };
    let groups: [(&str, &[f32]); 2] = [("own", &[0.9, 1.0001]), ("other", &[-0.2, -1.0001])];
    let cosines = Cosines {
        title: "c",
        subtitle: "",
        groups: &groups,
        threshold: None,
    };
    let panels = [
        Panel::Plane(raw),
        Panel::Plane(unit),
        Panel::Sphere(scatter(&space, &labels)),
        Panel::Sphere(Scatter {
            features: Features::Unit,
            ..scatter(&space, &labels)
        }),
        Panel::Curves(curves),
        Panel::Cosines(cosines),
    ];
    for panel in panels {
        check(&grid("one", 1, &[panel]).unwrap());
    }
    let svg = grid("all", 4, &panels).unwrap();
    check(&svg);
    assert_eq!(svg, grid("all", 4, &panels).unwrap());
    assert_eq!(
        svg.matches("<g transform=\"translate(").count(),
        6 + 6,
        "a group and one inside"
    );
    check(&scatter_2d(&unit).unwrap());
    check(&scatter_3d(&scatter(&space, &labels)).unwrap());
    check(&super::curves("t", &[curves, curves]).unwrap());
    check(&histogram(&cosines).unwrap());
}

#[test]
fn text_is_escaped() {
    let text = r#"a<b> & "c" 'd' ]]> "#;
    let control = "nul\0 bell\u{7} line\nend";
    let s = Scatter {
        title: text,
        subtitle: control,
        ..scatter(&[[1.0, 2.0]], &[0])
    };
    let svg = scatter_2d(&s).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts: Vec<_> = document.descendants().filter_map(|n| n.text()).collect();
    assert!(texts.contains(&text), "{texts:?}");
    assert!(
        texts.contains(&"nul\u{fffd} bell\u{fffd} line end"),
        "{texts:?}"
    );
}

#[test]
fn a_scatter_draws_every_point_and_many_points_evenly() {
    let (points, labels) = three::<2>(1000);
    assert_eq!(
        dots(&scatter_2d(&scatter(&points, &labels)).unwrap()).len(),
        3000
    );
    let (space, _) = three::<3>(1000);
    assert_eq!(
        dots(&scatter_3d(&scatter(&space, &labels)).unwrap()).len(),
        3000
    );

    let (many, labels) = three::<2>(7000);
    let svg = scatter_2d(&scatter(&many, &labels)).unwrap();
    assert_eq!(dots(&svg).len(), 9999, "3,333 of each class");
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
    let panels = vec![Panel::Plane(scatter(&many, &labels)); 8];
    let svg = grid("", 4, &panels).unwrap();
    assert_eq!(dots(&svg).len(), 8 * (5000 / 3 * 3));
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
}

#[test]
fn both_directions_have_the_same_scale_and_up_is_up() {
    let svg = scatter_2d(&scatter(&[[0.0, 3.0], [-3.0, 0.0], [1.5, 0.0]], &[0, 1, 2])).unwrap();
    let dots = dots(&svg);
    let reach = -dots[0][1];
    assert!(reach > 200.0, "the longest embedding reaches far: {dots:?}");
    assert_eq!(dots, [[0.0, -reach], [-reach, 0.0], [reach / 2.0, 0.0]]);
}

#[test]
fn unit_features_lie_on_the_circle() {
    let (points, labels) = three::<2>(40);
    let s = Scatter {
        features: Features::Unit,
        ..scatter(&points, &labels)
    };
    let lengths: Vec<f64> = dots(&scatter_2d(&s).unwrap())
        .iter()
        .map(|[x, y]| x.hypot(*y))
        .collect();
    assert_eq!(lengths.len(), 120);
    assert!(
        lengths.iter().all(|l| (l - lengths[0]).abs() < 0.15),
        "{lengths:?}"
    );
}

#[test]
fn near_points_are_painted_over_far_ones() {
    // The eye looks from the first octant.
    let svg = scatter_3d(&scatter(&[[1.0, 1.0, 0.5], [-1.0, -1.1, -0.5]], &[0, 1])).unwrap();
    let near = svg
        .rfind("stroke=\"#0072b2\" stroke-opacity=\"0.5")
        .unwrap();
    let far = svg
        .rfind("stroke=\"#e69f00\" stroke-opacity=\"0.15")
        .unwrap();
    assert!(far < near);
}

#[test]
fn points_without_a_place_are_left_out_and_counted() {
    let points = [
        [1.0, 2.0],
        [f32::NAN, 0.0],
        [0.0, f32::INFINITY],
        [0.0, 0.0],
    ];
    let raw = Scatter {
        weights: &[[f32::NAN, 1.0], [0.0, 0.0], [1.0, 0.0]],
        ..scatter(&points, &[0, 0, 1, 2])
    };
    let svg = scatter_2d(&raw).unwrap();
    check(&svg);
    assert_eq!(dots(&svg).len(), 2);
    assert!(svg.contains(">2 points without a place left out<"));
    assert_eq!(
        svg.matches("rx=\"8\"").count(),
        1,
        "one weight has a direction"
    );
    let unit = scatter_2d(&Scatter {
        features: Features::Unit,
        ..raw
    })
    .unwrap();
    assert!(
        unit.contains(">3 points without a place left out<"),
        "a zero has no direction"
    );
}

#[test]
fn a_collapsed_network_is_a_picture() {
    let points = [[0.0, 0.0]; 5];
    let svg = scatter_2d(&scatter(&points, &[0, 1, 2, 0, 1])).unwrap();
    check(&svg);
    assert_eq!(dots(&svg), [[0.0, 0.0]; 5]);
    let same = [[2.0, 0.0]; 3];
    let svg = scatter_2d(&Scatter {
        weights: &same,
        ..scatter(&same, &[0, 1, 2])
    })
    .unwrap();
    check(&svg);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let places = document.descendants().filter(|n| n.has_attribute("rx"));
    let mut ys: Vec<f64> = places
        .map(|n| n.attribute("y").unwrap().parse().unwrap())
        .collect();
    ys.sort_by(f64::total_cmp);
    assert!(
        ys.len() == 3 && ys[1] - ys[0] > 16.0 && ys[2] - ys[1] > 16.0,
        "{ys:?}"
    );
}

#[test]
fn data_that_make_no_picture_are_errors() {
    let empty = |given| PlotError::Empty {
        panel: "t".to_owned(),
        given,
    };
    assert_eq!(scatter_2d(&scatter(&[], &[])), Err(empty(0)));
    assert_eq!(
        scatter_2d(&scatter(&[[f32::NAN, 1.0]; 3], &[0; 3])),
        Err(empty(3))
    );
    assert_eq!(
        scatter_2d(&Scatter {
            features: Features::Unit,
            ..scatter(&[[0.0; 2]], &[0])
        }),
        Err(empty(1))
    );
    let no_classes = Scatter {
        classes: &[],
        ..scatter::<3>(&[], &[])
    };
    assert_eq!(scatter_3d(&no_classes), Err(empty(0)));
    assert_eq!(
        scatter_2d(&scatter(&[[1.0, 1.0]], &[0, 1])),
        Err(PlotError::Labels {
            panel: "t".to_owned(),
            points: 1,
            labels: 2
        })
    );
    assert_eq!(
        scatter_2d(&scatter(&[[1.0, 1.0]; 2], &[0, 3])),
        Err(PlotError::UnknownClass {
            panel: "t".to_owned(),
            index: 1,
            label: 3,
            classes: 3
        })
    );
    assert_eq!(
        scatter_2d(&Scatter {
            weights: &[[1.0, 0.0]],
            ..scatter(&[[1.0, 1.0]], &[0])
        }),
        Err(PlotError::Weights {
            panel: "t".to_owned(),
            weights: 1,
            classes: 3
        })
    );
    assert_eq!(grid("t", 3, &[]), Err(empty(0)));
    let cosines = Cosines {
        title: "t",
        subtitle: "",
        groups: &[("own", &[f32::NAN])],
        threshold: None,
    };
    assert_eq!(histogram(&cosines), Err(empty(1)));
    let zeros = [Series {
        name: "x",
        points: &[(0.0, 0.0), (1.0, -1.0)],
    }];
    let log = Curves {
        title: "t",
        x_label: "",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        series: &zeros,
    };
    assert_eq!(curves("", &[log]), Err(empty(2)), "no logarithm");
    assert!(
        curves(
            "",
            &[Curves {
                y_scale: Scale::Linear,
                ..log
            }]
        )
        .is_ok()
    );
}

/// The `d` attributes of the paths of the first series.
fn lines(svg: &str) -> Vec<&str> {
    let paths = svg
        .lines()
        .filter(|l| l.starts_with("<path fill=\"none\" stroke=\"#0072b2\""));
    paths.filter_map(|l| l.split(" d=\"").nth(1)).collect()
}

#[test]
fn equal_ratios_are_equally_far_apart_on_both_logarithmic_axes() {
    let series = [Series {
        name: "rates",
        points: &[(0.0, 0.5), (0.001, 1.0), (0.01, 0.1), (0.1, 0.01)],
    }];
    let panel = Curves {
        title: "t",
        x_label: "",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        series: &series,
    };
    let svg = curves("", &[panel]).unwrap();
    check(&svg);
    let places = dots(&svg);
    assert_eq!(places.len(), 3, "a rate of 0 has no place");
    for side in 0..2 {
        let steps = [1, 2].map(|i| places[i][side] - places[i - 1][side]);
        assert!(
            steps[0] > 50.0 && (steps[0] - steps[1]).abs() < 0.2,
            "{places:?}"
        );
    }
    assert!(svg.contains(">0.001<"), "decades are labelled");
}

#[test]
fn a_threshold_stands_at_its_cosine() {
    let at = |threshold| {
        let svg = histogram(&Cosines {
            title: "t",
            subtitle: "",
            groups: &[("own", &[0.5])],
            threshold,
        });
        let svg = svg.unwrap();
        let line = svg.lines().find(|line| line.contains("dasharray"));
        let start = line.and_then(|line| line.split_once(" d=\"M")?.1.split_once(' '));
        start.map(|(x, _)| x.parse::<f64>().unwrap())
    };
    assert_eq!(at(None), None);
    // From -1 to 1 in 380 px.
    assert_eq!((at(Some(0.0)), at(Some(0.5))), (Some(190.0), Some(285.0)));
}

#[test]
fn a_line_breaks_where_a_value_is_missing() {
    let mut points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(i % 9))).collect();
    points[30].1 = f64::NAN;
    points[60].1 = f64::INFINITY;
    let series = [Series {
        name: "x",
        points: &points,
    }];
    let panel = Curves {
        title: "t",
        x_label: "",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series: &series,
    };
    let svg = curves("", &[panel]).unwrap();
    check(&svg);
    let line = lines(&svg)[0];
    assert_eq!(line.matches('M').count(), 3);
    assert_eq!(line.matches('L').count(), 98 - 3);
}

#[test]
fn a_long_series_stays_small_and_keeps_its_extremes() {
    let mut points: Vec<(f64, f64)> = (0..1_000_000)
        .map(|i| (f64::from(i), f64::from(i % 9) / 9.0))
        .collect();
    points[123_456].1 = 5.0;
    let series = [Series {
        name: "x",
        points: &points,
    }];
    let panel = Curves {
        title: "t",
        x_label: "",
        x_scale: Scale::Linear,
        y_scale: Scale::Linear,
        series: &series,
    };
    let svg = curves("", &[panel]).unwrap();
    assert!(svg.len() < 50_000, "{} bytes", svg.len());
    let range = lines(&svg)[0];
    let heights = range
        .split(['M', 'L'])
        .filter_map(|p| p.split([' ', '"']).nth(1)?.parse().ok());
    let highest = heights.fold(f64::INFINITY, f64::min);
    // The frame begins 44 px below the top; the axis leaves 4 % of its range above the outlier.
    assert!((44.0..60.0).contains(&highest), "{highest}");
}

fn unit_grid<'a>(columns: usize, rows: usize) -> Grid<'a> {
    Grid {
        x_label: "x",
        y_label: "y",
        x: (-1.0, 1.0),
        y: (-1.0, 1.0),
        columns,
        rows,
    }
}

/// `f` at the middles of `n` by `n` cells.
fn sampled(n: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let middle = |i: usize| (i as f64 + 0.5) / n as f64 * 2.0 - 1.0;
    (0..n * n)
        .map(|i| f(middle(i % n), middle(i / n)))
        .collect()
}

fn field<'a>(grid: Grid<'a>, values: &'a [f64], boundary: &'a [f64]) -> Field<'a> {
    Field {
        title: "t",
        subtitle: "s",
        grid,
        values,
        most: None,
        unit: "u",
        boundary,
        arrows: &[],
    }
}

/// The points of the path that is drawn with this stroke.
fn stroke(svg: &str, style: &str) -> Vec<[f64; 2]> {
    let line = svg
        .lines()
        .find(|l| l.starts_with("<path") && l.contains(style));
    let (_, d) = line.unwrap().split_once(" d=\"").unwrap();
    let d = d.trim_end_matches("\"/>");
    d.split(['M', 'L'])
        .filter_map(|p| {
            let (x, y) = p.split_once(' ')?;
            Some([x.parse().ok()?, y.parse().ok()?])
        })
        .collect()
}

const BOUNDARY: &str = "stroke=\"#d6246e\"";

#[test]
fn a_contour_lies_where_the_function_says() {
    let n = 40;
    let values = sampled(n, |x, y| x * x + y * y);
    let circle = sampled(n, |x, y| 0.25 - x * x - y * y);
    let svg = functions(
        "",
        1,
        &[Panel::Field(field(unit_grid(n, n), &values, &circle))],
    )
    .unwrap();
    check(&svg);
    // The frame is a square: its middle and its side come from the white line's extremes.
    let line = stroke(&svg, BOUNDARY);
    let ends = |k: usize| {
        let all = || line.iter().map(|p| p[k]);
        (
            all().fold(f64::MAX, f64::min),
            all().fold(f64::MIN, f64::max),
        )
    };
    let ((left, right), (top, bottom)) = (ends(0), ends(1));
    let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
    let radius = (right - left) / 2.0;
    assert!(radius > 50.0 && (radius - (bottom - top) / 2.0).abs() < 0.5);
    for at in &line {
        let r = (at[0] - middle[0]).hypot(at[1] - middle[1]);
        assert!((r - radius).abs() < 0.6, "{r} for {radius}");
    }
    assert!(line.len() > 80, "a closed line: {} points", line.len());
}

#[test]
fn up_is_up_in_a_field_and_what_has_no_value_is_white() {
    let n = 4;
    let values = sampled(n, |_, y| if y < 0.0 { f64::NAN } else { y });
    let svg = functions("", 1, &[Panel::Field(field(unit_grid(n, n), &values, &[]))]).unwrap();
    check(&svg);
    let shade = |y: f64| {
        let lines = svg.lines().filter(|l| l.contains("crispEdges"));
        lines.filter(|l| l.contains(&format!("M0 {y}L"))).count()
    };
    // A frame of 334 px from 42 px on, in four rows.
    let rows = [376.0, 292.5, 209.0, 125.5].map(shade);
    assert_eq!(rows, [0, 0, 1, 1]);
}

#[test]
fn regions_of_two_classes_are_shaded_apart() {
    let n = 30;
    let (one, two) = (
        sampled(n, |x, y| y - x - 0.3),
        sampled(n, |x, y| x - y - 0.3),
    );
    let regions = Regions {
        title: "t",
        subtitle: "s",
        grid: unit_grid(n, n),
        leads: [&one, &two],
        names: ["first", "second"],
    };
    let svg = functions("", 1, &[Panel::Regions(regions)]).unwrap();
    check(&svg);
    assert!(svg.contains(">first<") && svg.contains("the margin"));
    // Class 1 wins where y is the larger: its line is above the diagonal, which falls in pixels.
    let [line, other] = ["#0072b2", "#e69f00"].map(|colour| {
        stroke(
            &svg,
            &format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\""),
        )
    });
    let side =
        |points: &[[f64; 2]]| points.iter().map(|p| p[0] + p[1]).sum::<f64>() / points.len() as f64;
    assert!(side(&line) < side(&other));
}

#[test]
fn fields_that_make_no_picture_are_errors() {
    let of = |grid, values: &[f64]| {
        functions("", 1, &[Panel::Field(field(grid, values, &[]))]).unwrap_err()
    };
    assert_eq!(
        of(unit_grid(2, 3), &[1.0; 5]),
        PlotError::Cells {
            panel: "t".to_owned(),
            columns: 2,
            rows: 3,
            values: 5
        }
    );
    let empty = PlotError::Empty {
        panel: "t".to_owned(),
        given: 6,
    };
    assert_eq!(of(unit_grid(2, 3), &[f64::NAN; 6]), empty);
    // A function that is zero everywhere has a picture all the same.
    let zero = [0.0; 6];
    check(&functions("", 1, &[Panel::Field(field(unit_grid(2, 3), &zero, &zero))]).unwrap());
}

#[test]
fn long_headings_are_written_smaller_and_fit() {
    let size_of = |title: &str, subtitle: &str, text: &str| {
        let panel = Panel::Plane(Scatter {
            title,
            subtitle,
            ..scatter(&[[0.0, 1.0], [1.0, 0.0]], &[0, 1])
        });
        let svg = grid("", 1, &[panel]).unwrap();
        let line = svg.lines().find(|l| l.contains(&format!(">{text}<")));
        let size = line.unwrap().split("font-size=\"").nth(1).unwrap();
        size.split('"').next().unwrap().parse::<f64>().unwrap()
    };
    let of_title = |title| size_of(title, "s", title);
    assert_eq!(of_title("softmax"), 15.0);
    let long = "so-softmax:lambda_p=16,lambda_n=4,m=0.3,one_sided=true";
    assert!(of_title(long) < 10.0);
    let of_subtitle = |subtitle| size_of("t", subtitle, subtitle);
    assert_eq!(of_subtitle("test accuracy 98.4 %"), 11.0);
    let long = "test accuracy 98.48 %, cosine own 0.988, cosine others -0.110";
    assert!(of_subtitle(long) < 10.0);
}
