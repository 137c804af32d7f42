//! Random streams: uniform bits, moments, independence of names and indices.

use polyseme_tensor::Stream;

const N: u64 = 200_000;

/// Five standard deviations of a mean of N values of this deviation.
fn five_sigma(deviation: f64) -> f64 {
    5.0 * deviation / (N as f64).sqrt()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    values.sum::<f64>() / N as f64
}

#[test]
fn every_bit_is_set_half_the_time() {
    for stream in [Stream::new(0), Stream::new(1).named("mask"), Stream::new(7).at(3)] {
        for bit in 0..64 {
            let share = mean((0..N).map(|i| (stream.bits(i) >> bit & 1) as f64));
            assert!((share - 0.5).abs() < five_sigma(0.5), "bit {bit}: {share}");
        }
    }
}

#[test]
fn neighbouring_indices_flip_half_the_bits() {
    let stream = Stream::new(3);
    let flips = mean((0..N).map(|i| f64::from((stream.bits(i) ^ stream.bits(i + 1)).count_ones())));
    assert!((flips - 32.0).abs() < five_sigma(4.0), "{flips}");
}

#[test]
fn uniform_has_the_moments_of_the_unit_interval() {
    let stream = Stream::new(11).named("uniform");
    let values = || (0..N).map(|i| f64::from(stream.uniform(i)));
    assert!(values().all(|x| (0.0..1.0).contains(&x)));
    assert!((mean(values()) - 0.5).abs() < five_sigma((1.0f64 / 12.0).sqrt()));
    let variance = mean(values().map(|x| (x - 0.5).powi(2)));
    assert!((variance - 1.0 / 12.0).abs() < five_sigma(0.075), "{variance}");
}

#[test]
fn normal_has_the_moments_and_tails_of_the_normal() {
    let stream = Stream::new(5).named("init");
    let moment = |k: i32| mean((0..N).map(|i| f64::from(stream.normal(i)).powi(k)));
    assert!(moment(1).abs() < five_sigma(1.0));
    assert!((moment(2) - 1.0).abs() < five_sigma(2f64.sqrt()));
    assert!(moment(3).abs() < five_sigma(15f64.sqrt()));
    assert!((moment(4) - 3.0).abs() < five_sigma(96f64.sqrt()));
    let beyond_two = mean((0..N).map(|i| f64::from(u8::from(stream.normal(i).abs() > 2.0))));
    assert!((beyond_two - 0.0455).abs() < five_sigma(0.21), "{beyond_two}");
}

#[test]
fn below_is_even_and_stays_below() {
    let stream = Stream::new(2);
    let mut counts = [0u32; 7];
    (0..N).for_each(|i| counts[stream.below(i, 7) as usize] += 1);
    let expected = N as f64 / 7.0;
    let chi_square: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    // 6 degrees of freedom; beyond 27.9 in one of 10,000 runs.
    assert!(chi_square < 27.9, "{counts:?}");
    assert_eq!(stream.below(0, 1), 0);
}

#[test]
fn streams_of_other_names_and_numbers_are_independent() {
    let root = Stream::new(42);
    let streams = [
        root,
        Stream::new(43),
        root.named("a"),
        root.named("b"),
        root.named(""),
        root.named("aaaaaaaa"),
        root.named("aaaaaaaaa"),
        root.at(0),
        root.at(1),
        root.at(97),
        root.at(0).named("a"),
        root.named("a").at(0),
    ];
    for (i, a) in streams.iter().enumerate() {
        for b in &streams[..i] {
            let product = mean((0..N).map(|k| (f64::from(a.uniform(k)) - 0.5) * (f64::from(b.uniform(k)) - 0.5)));
            assert!(product.abs() < five_sigma(1.0 / 12.0), "{a:?} {b:?}: {product}");
            // Nor is one a shifted copy of the other.
            assert!((0..64).all(|k| a.bits(k) != b.bits(0) && a.bits(k) != b.bits(k)));
        }
    }
}

#[test]
fn the_same_name_gives_the_same_values() {
    let make = || Stream::new(9).named("step").at(12).bits(1000);
    assert_eq!(make(), make());
}

#[test]
fn many_values_are_the_single_ones() {
    let stream = Stream::new(1).named("init");
    let many = stream.normals(40_000, 0.5);
    assert!((0..40_000).step_by(997).all(|i| many[i] == (f64::from(stream.normal(i as u64)) * 0.5) as f32));
}

#[test]
fn shuffling_is_even() {
    let mut counts = [[0u32; 5]; 5];
    for run in 0..20_000 {
        let mut items = [0, 1, 2, 3, 4];
        Stream::new(run).shuffle(&mut items);
        items.iter().enumerate().for_each(|(place, &item)| counts[place][item] += 1);
    }
    // Each of 25 counts is binomial around 4000 with deviation 57.
    assert!(counts.iter().flatten().all(|&count| (3715..=4285).contains(&count)), "{counts:?}");
}
