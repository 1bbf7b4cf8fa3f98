//! A run that suits its rows: what is chosen for few of them, and what a run that goes wrong says of itself.

use finetuning::train::watch::WarningKind;
use finetuning::*;

use crate::support::{fresh_folder, refused, rows, tiny_model, tiny_rows};

fn arguments(max_steps: i64) -> TrainingArguments {
    TrainingArguments { max_steps, learning_rate: 1e-3, disable_tqdm: true, output_dir: fresh_folder(), ..Default::default() }
}

fn warned(trainer: &mut Trainer) -> Vec<WarningKind> {
    trainer.train().unwrap().warnings.iter().map(|warning| warning.kind).collect()
}

fn run(arguments: TrainingArguments) -> Trainer {
    Trainer::new(&tiny_model(1), arguments, tiny_rows(24), tiny_rows(3)).unwrap()
}

#[test]
fn few_rows_get_steps_enough_and_many_are_left_alone() {
    let own = BasicModelRunner::default_arguments;
    // The lessons' rows: 1,546 and 172 of 1,718; and 1,260 of 1,400.
    for (train, test) in [(1546, 172), (1260, 140), (400, 44)] {
        assert_eq!(own().suited(train, test), own());
    }
    for rows in [1, 2, 18, 45, 79, 80, 200] {
        let (suited, given) = (own().suited(rows, 2), own());
        let (steps, plan) = (suited.total_steps(rows), suited.rate_plan(suited.total_steps(rows)));
        assert!(plan.warmup_steps * 10 <= steps, "{rows} rows: a warm-up of {} in {steps} steps", plan.warmup_steps);
        assert!(steps >= 40 || suited.num_train_epochs == 20.0, "{rows} rows: {steps} steps");
        let short = given.total_steps(rows) < 60;
        assert!(suited.num_train_epochs >= given.num_train_epochs * if short { 2.0 } else { 1.0 }, "{rows} rows");
        // The rate reaches its height, and falls to 0.
        let rates: Vec<f64> = (0..=steps).map(|step| plan.rate(step)).collect();
        let highest = if short { 7.5e-4 } else { 1.5e-3 };
        assert_eq!((rates.iter().copied().fold(0.0, f64::max), rates[steps]), (highest, 0.0));
        assert_eq!(suited.evaluates(), short);
    }
    // What is given is kept: steps, longer epochs, evaluations; without held-out rows there is none to make.
    let given = TrainingArguments { num_train_epochs: 50.0, eval_steps: 7, ..own() }.suited(18, 2);
    assert_eq!((given.num_train_epochs, given.eval_steps), (50.0, 7));
    let given = TrainingArguments { max_steps: 3, warmup_steps: 0, ..own() };
    assert_eq!(given.clone().suited(18, 0), given);
    assert_eq!(own().suited(0, 0), own(), "no rows suit nothing");
}

#[test]
fn a_warm_up_as_long_as_the_run_is_said_and_kept() {
    let own = TrainingArguments { warmup_steps: 20, ..arguments(18) };
    let mut trainer = run(own.clone());
    assert_eq!(warned(&mut trainer), [WarningKind::WarmupOnly]);
    assert_eq!(trainer.arguments(), &own);
    let text = trainer.train().unwrap().to_string();
    assert!(text.contains("\nwarning: the warm-up of 20 steps is as long as the run of 18") && text.contains("1.0e-3"), "{text}");
    assert_eq!(warned(&mut run(TrainingArguments { warmup_steps: 17, ..arguments(18) })), []);
    // A constant rate has no warm-up.
    assert_eq!(warned(&mut run(TrainingArguments { warmup_steps: 20, lr_scheduler_type: Schedule::Constant, ..arguments(18) })), []);
}

#[test]
fn a_rate_that_is_never_above_zero_is_refused() {
    let new = |arguments| Trainer::new(&tiny_model(1), arguments, tiny_rows(24), tiny_rows(3));
    refused(new(TrainingArguments { learning_rate: 0.0, ..arguments(5) }), &["rate is 0 at each of the 5 steps", "learning_rate 0"]);
    refused(new(TrainingArguments { warmup_steps: 9, ..arguments(1) }), &["rate is 0 at each of the 1 steps", "warm-up 9 steps"]);
    new(TrainingArguments { warmup_steps: 9, ..arguments(2) }).unwrap();
}

#[test]
fn a_healthy_run_says_nothing() {
    let mut trainer = run(TrainingArguments { eval_steps: 5, warmup_steps: 4, ..arguments(60) });
    assert_eq!(warned(&mut trainer), []);
    assert!(!trainer.train().unwrap().to_string().contains("warning"));
    let losses: Vec<f64> = trainer.history().iter().map(|step| step.loss).collect();
    assert!(losses[59] < losses[0]);
}

#[test]
fn a_run_that_diverges_says_so() {
    let own = TrainingArguments { learning_rate: 1.0, max_grad_norm: 0.0, ..arguments(18) };
    let mut trainer = run(own);
    assert_eq!(warned(&mut trainer), [WarningKind::Diverging]);
    let warning = &trainer.train().unwrap().warnings[0];
    // Once, and while the run goes on.
    assert!(warning.step < 18 && warning.text.contains("above its start for 5 steps") && warning.text.contains("lower learning_rate"));
    let losses: Vec<f64> = trainer.history().iter().map(|step| step.loss).collect();
    assert!(losses[warning.step - 5..warning.step].iter().all(|loss| loss > &losses[0]), "{losses:?}");
}

#[test]
fn a_run_that_overfits_says_so() {
    // What is held out contradicts what is learnt.
    let train = rows(&(0..4).map(|row| (0..12).map(|place| (row * 7 + place) % 48).collect()).collect::<Vec<Vec<u32>>>());
    let eval = rows(&(0..4).map(|row| (0..12).map(|place| (row * 7 + 11 * place + 48) % 96).collect()).collect::<Vec<Vec<u32>>>());
    let own = TrainingArguments { eval_steps: 5, learning_rate: 5e-3, ..arguments(60) };
    let mut trainer = Trainer::new(&tiny_model(1), own, train, eval).unwrap();
    assert_eq!(warned(&mut trainer), [WarningKind::Overfitting]);
    let warning = trainer.train().unwrap().warnings[0].clone();
    let evals: Vec<f64> = trainer.history()[..warning.step].iter().filter_map(|step| step.eval_loss).collect();
    assert!(evals[evals.len() - 4..].windows(2).all(|pair| pair[0] < pair[1]), "{evals:?}");
    assert!(warning.text.contains("rose 3 times in a row") && warning.text.contains("early_stopping_patience"), "{}", warning.text);
}

#[test]
fn a_run_that_learns_nothing_says_so() {
    let slow = || TrainingArguments { learning_rate: 1e-9, ..arguments(-1) };
    let own = TrainingArguments { num_train_epochs: 3.0, ..slow() };
    let mut trainer = run(own);
    assert_eq!(warned(&mut trainer), [WarningKind::Unchanged]);
    let text = trainer.train().unwrap().to_string();
    assert!(text.contains("nothing was learnt") && text.contains("raise learning_rate"), "{text}");
    // Of one pass nothing can be said: each loss is that of other rows.
    assert_eq!(warned(&mut run(TrainingArguments { num_train_epochs: 1.0, ..slow() })), []);
}

#[test]
fn a_run_without_a_gradient_says_so() {
    use finetuning::train::report::StepReport;
    use finetuning::train::watch::Watch;
    let report = |step, grad_norm| {
        let mut report = StepReport::default();
        (report.step, report.loss, report.grad_norm) = (step, 0.693, grad_norm);
        report
    };
    let kinds = |norms: &[f64]| {
        let history: Vec<StepReport> = norms.iter().enumerate().map(|(index, norm)| report(index + 1, *norm)).collect();
        let mut watch = Watch::default();
        (1..=history.len()).for_each(|end| watch.step(&history[..end], 100));
        watch.warnings().iter().map(|warning| (warning.kind, warning.step)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), [(WarningKind::NoGradient, 6)]);
    assert_eq!(kinds(&[0.0, 0.0, 0.0, 0.0, 1e-9, 0.0, 0.0]), []);
}

#[test]
fn a_run_that_cannot_learn_says_so_and_goes_on() {
    // An adapter of nothing but zeros: each of its two factors is the other's gradient.
    let model = tiny_model(1).with_lora(&LoraConfig::default()).unwrap();
    for (name, weight) in model.weights() {
        if name.contains("lora_A") {
            weight.update(|values| values.fill(0.0)).unwrap();
        }
    }
    let mut trainer = Trainer::new(&model, arguments(8), tiny_rows(24), tiny_rows(3)).unwrap();
    let output = trainer.train().unwrap();
    let kinds: Vec<_> = output.warnings.iter().map(|warning| (warning.kind, warning.step)).collect();
    assert_eq!(kinds, [(WarningKind::NoGradient, 5)]);
    assert!(output.to_string().contains("warning: the gradient is 0 since step 1: the model cannot learn"), "{output}");
    assert_eq!((trainer.history().len(), trainer.history()[7].grad_norm), (8, 0.0));
    // The same adapter with a first factor that is not zero has a gradient; so few steps at this rate change little.
    let model = tiny_model(1).with_lora(&LoraConfig::default()).unwrap();
    let mut trainer = Trainer::new(&model, arguments(8), tiny_rows(24), tiny_rows(3)).unwrap();
    assert_eq!(warned(&mut trainer), [WarningKind::Unchanged]);
}

#[test]
fn an_evaluation_without_a_number_is_said_and_is_never_the_best() {
    // Finite weights that overflow in one row, which is held out: its word has an embedding that no norm can square.
    let model = tiny_model(1);
    let (name, embedding) = &model.weights()[0];
    assert!(name.contains("embed_in"), "{name}");
    embedding.update(|values| values[95 * 32..].fill(3e38)).unwrap();
    let train = rows(&(0..8).map(|row| (0..6).map(|place| (row * 7 + place) % 90).collect()).collect::<Vec<Vec<u32>>>());
    let held_out = rows(&[vec![1, 95, 2, 3]]);
    let own = TrainingArguments { eval_steps: 2, save_steps: 2, load_best_model_at_end: true, ..arguments(6) };
    let mut trainer = Trainer::new(&model, own, train, held_out).unwrap();
    let output = trainer.train().unwrap();
    let kinds: Vec<_> = output.warnings.iter().map(|warning| (warning.kind, warning.step)).collect();
    assert_eq!(kinds, [(WarningKind::NotFinite, 2)]);
    assert!(output.to_string().contains("warning: the evaluation after step 2 gives no finite loss"), "{output}");
    assert!(trainer.history().iter().all(|step| step.loss.is_finite()));
    assert!(trainer.history().iter().filter_map(|step| step.eval_loss).all(|loss| !loss.is_finite()));
    assert_eq!((trainer.state().best_metric, &trainer.state().best_model_checkpoint), (None, &None));
}

#[test]
fn other_rows_than_before_are_said() {
    let folder = fresh_folder();
    let new = |rows: TokenizedDataset| {
        let own = TrainingArguments { save_steps: 2, output_dir: folder.clone(), overwrite_output_dir: true, ..arguments(4) };
        Trainer::new(&tiny_model(1), own, rows, tiny_rows(3)).unwrap()
    };
    new(tiny_rows(24)).train().unwrap();
    let resumed = |rows: TokenizedDataset| {
        let mut trainer = new(rows);
        trainer.resume("checkpoint-2").unwrap();
        trainer.train().unwrap().warnings
    };
    assert_eq!(resumed(tiny_rows(24)), []);
    // As many rows, of which one has another word; and the same rows in another order.
    let changed = |change: fn(&mut Vec<Encoding>)| {
        let mut rows = tiny_rows(24).into_rows();
        change(&mut rows);
        resumed(TokenizedDataset::from_rows(rows))
    };
    for warnings in [changed(|rows| rows[7].input_ids[1] ^= 1), changed(|rows| rows.swap(3, 4)), changed(|rows| rows[0].labels[2] = 5)] {
        assert_eq!(warnings.iter().map(|warning| (warning.kind, warning.step)).collect::<Vec<_>>(), [(WarningKind::OtherRows, 2)]);
        assert!(warnings[0].text.contains("train_dataset holds other rows"), "{}", warnings[0].text);
    }
}

#[test]
fn preferences_say_the_same() {
    let pair = |row: u32| PreferencePair { prompt: vec![1, 2 + row], chosen: vec![30 + row, 31], rejected: vec![60 + row, 61] };
    let pairs: Vec<PreferencePair> = (0..16).map(pair).collect();
    let config = |arguments| DpoConfig { arguments, ..Default::default() };
    let new = |arguments, pairs| DpoTrainer::new(&tiny_model(1), None, config(arguments), pairs);
    let kinds = |arguments| {
        let output = new(arguments, pairs.clone()).unwrap().train().unwrap();
        output.warnings.iter().map(|warning| warning.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(arguments(20)), []);
    assert_eq!(kinds(TrainingArguments { warmup_steps: 20, ..arguments(20) }), [WarningKind::WarmupOnly]);
    refused(new(TrainingArguments { learning_rate: 0.0, ..arguments(5) }, pairs.clone()), &["rate is 0 at each of the 5 steps"]);
    // Pairs whose answers are the same teach nothing: they are left out, and none is left of such pairs alone.
    let same = |row| PreferencePair { rejected: pair(row).chosen, ..pair(row) };
    refused(new(arguments(5), (0..4).map(same).collect()), &["4 pairs", "the same"]);
    let trainer = new(
        TrainingArguments { max_steps: -1, num_train_epochs: 1.0, ..arguments(1) },
        (0..16).map(pair).chain((0..8).map(same)).collect(),
    );
    assert_eq!(trainer.unwrap().total_steps(), 2);
}

#[test]
fn fewer_rows_than_before_are_refused() {
    let own = TrainingArguments { save_steps: 2, ..arguments(4) };
    let new = |count| {
        Trainer::new(&tiny_model(1), TrainingArguments { overwrite_output_dir: true, ..own.clone() }, tiny_rows(count), tiny_rows(3))
    };
    new(24).unwrap().train().unwrap();
    let mut fewer = new(20).unwrap();
    let before = fewer.model().weights()[0].1.detached().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    refused(fewer.resume("checkpoint-2"), &["train_dataset has 20 rows", "had 24"]);
    assert_eq!(fewer.model().weights()[0].1.detached().flatten_all().unwrap().to_vec1::<f32>().unwrap(), before);
    assert!(fewer.history().is_empty());
    for count in [24, 30] {
        let mut run = new(count).unwrap();
        run.resume("checkpoint-2").unwrap();
        assert_eq!(run.history().len(), 2);
    }
}

#[test]
fn what_a_small_test_cannot_say_is_said() {
    let report = |right: usize, all: usize| {
        let row = |row: usize| AnswerRow {
            question: String::new(),
            predicted_answer: String::new(),
            target_answer: String::new(),
            exact_match: row < right,
            f1: 0.0,
            error: None,
        };
        AnswerReport { rows: (0..all).map(row).collect() }
    };
    // Wilson's interval: statsmodels' proportion_confint(5, 10, method="wilson") and (0, 2).
    let close = |(low, high): (f64, f64), (a, b): (f64, f64)| (low - a).abs() < 1e-6 && (high - b).abs() < 1e-6;
    assert!(close(report(5, 10).exact_match_interval(), (0.236593, 0.763407)), "{:?}", report(5, 10).exact_match_interval());
    assert!(close(report(0, 2).exact_match_interval(), (0.0, 0.657620)), "{:?}", report(0, 2).exact_match_interval());
    assert_eq!(report(0, 0).exact_match_interval(), (0.0, 1.0));
    let two = report(1, 2).caution().unwrap();
    assert!(two.contains("2 rows: a result can only be 0, 50 or 100 %") && two.contains("between 9 and 91 %"), "{two}");
    let twenty = report(10, 20).caution().unwrap();
    assert!(twenty.contains("20 rows: one row is 5 %") && twenty.contains("between 30 and 70 %"), "{twenty}");
    assert_eq!(report(50, 172).caution(), None);
}
