//! McNemar's test, the bootstrap, the resolution of a test and Elo over orders against statsmodels, SciPy and NumPy.

use finetuning::util::rng::Pcg64;
use finetuning::*;
use serde_json::Value;

use crate::support::{json, refused};

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance, "{ours} is not {theirs}");
}

/// Rows of which the first model got so many right alone, and the second.
fn rows(first: usize, second: usize) -> (Vec<bool>, Vec<bool>) {
    let of = |alone: bool, first: usize, second: usize| [vec![true; 3], vec![alone; first], vec![!alone; second], vec![false; 4]].concat();
    (of(true, first, second), of(false, first, second))
}

#[test]
fn mcnemars_test_is_statsmodels() {
    for case in json("scores.json")["mcnemar"].as_array().unwrap() {
        let counts = floats(&case["counts"]);
        let (first, second) = rows(counts[0] as usize, counts[1] as usize);
        let test = mcnemar(&first, &second).unwrap();
        assert_eq!([test.first_only, test.second_only, test.both, test.neither], [counts[0] as usize, counts[1] as usize, 3, 4]);
        near(test.p_value, case["p"].as_f64().unwrap(), 1e-7);
    }
    let say = |first, second| {
        let (first, second) = rows(first, second);
        mcnemar(&first, &second).unwrap().to_string()
    };
    assert!(say(0, 5).ends_with("6.2 % of tests, so these rows cannot show which is better"), "{}", say(0, 5));
    assert!(say(6, 0).ends_with("3.1 % of tests, so these rows show that the first is better"), "{}", say(6, 0));
    assert!(say(0, 9).contains("show that the second is better"), "{}", say(0, 9));
    refused(mcnemar(&[true], &[]), &["the first has 1 rows and the second 0"]);
    refused(mcnemar(&[], &[]), &["at least 1"]);
}

#[test]
fn the_bootstrap_is_scipys() {
    for case in json("scores.json")["bootstrap"].as_array().unwrap() {
        let (first, second, theirs) = (floats(&case["first"]), floats(&case["second"]), floats(&case["interval"]));
        let ours = paired_bootstrap(&first, &second, case["seed"].as_u64().unwrap()).unwrap();
        for (ours, theirs) in [ours.difference, ours.low, ours.high].iter().zip(&theirs) {
            near(*ours, *theirs, 1e-7);
        }
        let other = paired_bootstrap(&second, &first, case["seed"].as_u64().unwrap()).unwrap();
        near(other.difference, -ours.difference, 1e-12);
    }
    let clear = paired_bootstrap(&[0.1, 0.2, 0.3, 0.2], &[0.9, 0.8, 0.9, 1.0], 1).unwrap();
    assert!(clear.is_shown() && clear.to_string().contains("show that the second is better"), "{clear}");
    let unclear = paired_bootstrap(&[0.0, 1.0, 0.0], &[1.0, 0.0, 0.5], 1).unwrap();
    assert!(!unclear.is_shown() && unclear.to_string().contains("cannot show which is better"), "{unclear}");
    refused(paired_bootstrap(&[0.5, f64::NAN], &[0.5, 0.5], 1), &["row 1"]);
    refused(paired_bootstrap(&[0.5], &[], 1), &["the same rows"]);
}

#[test]
fn draws_are_numpys() {
    let mut random = Pcg64::new(7);
    for case in json("scores.json")["draws"].as_array().unwrap() {
        let draws: Vec<u64> =
            floats(&case["draws"]).iter().map(|_| random.below(case["count"].as_u64().unwrap() as usize) as u64).collect();
        assert_eq!(draws, floats(&case["draws"]).iter().map(|&draw| draw as u64).collect::<Vec<_>>());
    }
}

#[test]
fn so_many_rows_show_so_much() {
    for case in json("scores.json")["resolution"].as_array().unwrap() {
        let rows = case["rows"].as_u64().unwrap() as usize;
        let ours = resolution(rows, case["disagreement"].as_f64().unwrap()).unwrap();
        near(ours.least.unwrap(), 6.0 / rows as f64, 0.0);
        match case["likely"].as_f64() {
            Some(likely) => near(ours.likely.unwrap(), likely, 1e-7),
            None => assert_eq!(ours.likely, None, "{case}"),
        }
    }
    assert_eq!(resolution(5, 0.5).unwrap().least, None);
    assert!(resolution(5, 0.5).unwrap().to_string().contains("can show no difference"));
    assert!(resolution(20, 0.2).unwrap().to_string().contains("take more rows"), "{}", resolution(20, 0.2).unwrap());
    assert!(resolution(100, 0.2).unwrap().to_string().contains("shows in 80 of 100 tests"));
    refused(resolution(0, 0.5), &["rows is 0"]);
    refused(resolution(10, f64::NAN), &["disagreement NaN"]);
}

#[test]
fn ratings_are_those_of_an_open_loop_in_any_order() {
    let fixture = json("scores.json");
    let elo = &fixture["elo"];
    let mut tournament = Tournament::new(&["a", "b", "c"]);
    refused(tournament.over_orders(100, 9), &["0 games"]);
    for game in elo["games"].as_array().unwrap() {
        let verdict = match game[2].as_f64().unwrap() {
            1.0 => Verdict::First,
            0.0 => Verdict::Second,
            _ => Verdict::Tie,
        };
        tournament.record(game[0].as_str().unwrap(), game[1].as_str().unwrap(), verdict).unwrap();
    }
    let place = |name: &str| ["a", "b", "c"].iter().position(|own| *own == name).unwrap();
    for (name, rating, games) in tournament.ratings() {
        near(rating, floats(&elo["ratings"])[place(&name)], 1e-4);
        assert_eq!(games, [5, 5, 4][place(&name)]);
    }
    let report = tournament.over_orders(100, 9).unwrap();
    for rating in &report.ratings {
        near(rating.rating, floats(&elo["mean"])[place(&rating.name)], 1e-4);
        near(rating.spread, floats(&elo["deviation"])[place(&rating.name)], 1e-4);
    }
    assert!(report.text().contains("7 games in 100 orders") && report.text().contains(" ± "), "{}", report.text());
    refused(tournament.over_orders(0, 9), &["0 orders"]);
}

#[test]
fn a_pair_is_won_in_both_orders_only() {
    let ask = |reply: fn(&str) -> &'static str| judge_pair("Capital?", "Paris", "Rome", |prompt| Ok(reply(prompt).into())).unwrap();
    let knows = ask(|prompt| if prompt.contains("A: Paris") { "A" } else { "Answer B is better." });
    assert_eq!((knows.verdict(), knows.follows_the_place()), (Verdict::First, false));
    let first = ask(|_| "A");
    assert_eq!((first.verdict(), first.follows_the_place()), (Verdict::Tie, true));
    let silent = ask(|prompt| if prompt.contains("A: Paris") { "A" } else { "A good question." });
    assert_eq!((silent.verdict(), silent.back), (Verdict::Tie, None));
    let report = JudgeReport { judgements: vec![knows, first, silent] };
    assert_eq!((report.wins(), report.by_place(), report.unread(), report.p_value()), ((1, 0), 1, 1, 1.0));
    assert!(report.to_string().ends_with("cannot show which one this judge prefers"), "{report}");
    let clear = JudgeReport { judgements: vec![knows; 6] };
    assert!(clear.to_string().ends_with("show that this judge prefers the first"), "{clear}");
    let failing = judge_pair("Capital?", "Paris", "Rome", |_| Err(Error::new(ErrorKind::Service, "away").hint("later")));
    refused(failing, &["away"]);
}
