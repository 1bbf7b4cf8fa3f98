//! Every operation on slices = its formula in f64, gradients by differences; and all of that once more at each lower level of
//! instructions that this machine has, in a process of its own.

use std::process::Command;
use std::sync::Mutex;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use finetuning_compute::cpu::activation::{self, GELU_TANH, SILU, Sigmoidal};
use finetuning_compute::cpu::attention::{Scores, attend, attend_backward};
use finetuning_compute::cpu::gemv;
use finetuning_compute::cpu::isa::{Level, VARIABLE};
use finetuning_compute::cpu::loss::{Head, Targets};
use finetuning_compute::cpu::packed::{Format, widen};
use finetuning_compute::cpu::rows;
use finetuning_compute::cpu::update::{EPSILON, UpdateArgs, adafactor, adafactor_rows, adamw, adamw_rows};

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + seed) * 7919 % 101) as f32 - 50.0) / 40.0).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[track_caller]
fn close(what: &str, ours: &[f32], exact: &[f64], bound: f64) {
    assert_eq!(ours.len(), exact.len(), "{what}");
    for (place, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        assert!((f64::from(*ours) - exact).abs() <= bound * (1.0 + exact.abs()), "{what} {place}: {ours} for {exact}");
    }
}

/// The gradient of a sum of `f(x)`, by differences.
fn gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let at = |place: usize, by: f64| {
        let mut x = x.to_vec();
        x[place] += by;
        f(&x)
    };
    (0..x.len()).map(|place| (at(place, 1e-5) - at(place, -1e-5)) / 2e-5).collect()
}

fn norm(row: &[f64], weight: &[f64], bias: Option<&[f64]>, epsilon: f64) -> Vec<f64> {
    let mean = if bias.is_some() { row.iter().sum::<f64>() / row.len() as f64 } else { 0.0 };
    let square = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / row.len() as f64;
    let value = |c: usize| (row[c] - mean) / (square + epsilon).sqrt() * weight[c] + bias.map_or(0.0, |bias| bias[c]);
    (0..row.len()).map(value).collect()
}

#[test]
fn norms_and_their_gradients() {
    const EPSILON: f64 = 1e-3;
    for (count, width) in [(70, 5), (3, 37)] {
        let (x, weight, bias, grad) = (numbers(count * width, 0), numbers(width, 3), numbers(width, 7), numbers(count * width, 11));
        let (wx, ww, wb, wg) = (wide(&x), wide(&weight), wide(&bias), wide(&grad));
        for bias in [Some(&wb[..]), None] {
            let all = |x: &[f64], weight: &[f64], bias: Option<&[f64]>| -> Vec<f64> {
                x.chunks(width).flat_map(|row| norm(row, weight, bias, EPSILON)).collect()
            };
            let by_x: Vec<f64> = (wx.chunks(width).zip(wg.chunks(width)))
                .flat_map(|(row, grad)| gradient(row, |row| dot(&norm(row, &ww, bias, EPSILON), grad)))
                .collect();
            let by_weight = gradient(&ww, |weight| dot(&all(&wx, weight, bias), &wg));
            let epsilon = EPSILON as f32;
            if let Some(wb) = bias {
                let by_bias = gradient(wb, |bias| dot(&all(&wx, &ww, Some(bias)), &wg));
                let bias = numbers(width, 7);
                close("layer norm", &rows::layer_norm(&x, &weight, &bias, epsilon), &all(&wx, &ww, Some(wb)), 2e-6);
                close("by its input", &rows::layer_norm_grad_input(&x, &weight, &grad, epsilon), &by_x, 1e-5);
                close("by its affine", &rows::layer_norm_grad_affine(&x, &grad, width, epsilon), &[by_weight, by_bias].concat(), 1e-5);
            } else {
                close("RMS norm", &rows::rms_norm(&x, &weight, epsilon), &all(&wx, &ww, None), 2e-6);
                close("by its input", &rows::rms_norm_grad_input(&x, &weight, &grad, epsilon), &by_x, 1e-5);
                close("by its weight", &rows::rms_norm_grad_weight(&x, &grad, width, epsilon), &by_weight, 1e-5);
            }
        }
        let sums: Vec<f64> = (0..width).map(|c| wx.iter().skip(c).step_by(width).sum()).collect();
        close("column sum", &rows::column_sum(&x, width), &sums, 1e-6);
    }
}

#[test]
fn sums_and_choices_of_a_row() {
    let x = numbers(10_037, 5);
    let exact = wide(&x);
    assert!((rows::squares(&x) / dot(&exact, &exact) - 1.0).abs() < 1e-6);
    let total: f64 = exact.iter().map(|x| x.exp()).sum();
    for id in [0, 9_000, 10_036] {
        assert!((rows::log_probability(id, &x) - (exact[id as usize] - total.ln())).abs() < 2e-6);
    }
    let mut high = x.clone();
    high[9_999] = 7.0;
    high[10_001] = 7.0;
    assert_eq!(rows::argmax(&high), 9_999);
    let mut row = x[..77].to_vec();
    rows::softmax_grad(&mut row, 5.0, 0.5, 0.001);
    let plain: Vec<f64> = exact[..77].iter().map(|x| 0.5 * ((x - 5.0).exp() - 0.001)).collect();
    close("softmax", &row, &plain, 1e-6);
}

#[test]
fn activations_and_their_gradients() {
    let (x, up, grad) = (numbers(5_003, 0), numbers(5_003, 17), numbers(5_003, 29));
    let sigmoidal = |x: f64, form: Sigmoidal| {
        let [rate, cube] = form.factors().map(f64::from);
        x / (1.0 + (-rate * (x + cube * x * x * x)).exp())
    };
    let derivative = |x: f32, f: &dyn Fn(f64) -> f64| gradient(&[f64::from(x)], |x| f(x[0]))[0];
    for form in [SILU, GELU_TANH] {
        let value = |x: f64| sigmoidal(x, form);
        let exact: Vec<f64> = x.iter().map(|x| value(f64::from(*x))).collect();
        let bent: Vec<f64> = x.iter().zip(&grad).map(|(x, g)| derivative(*x, &value) * f64::from(*g)).collect();
        close("activation", &activation::activate(&x, form), &exact, 1e-6);
        close("its gradient", &activation::activate_grad(&x, &grad, form), &bent, 2e-6);
        let times = |a: &[f64], b: &[f32]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).collect() };
        close("gated", &activation::gated(&x, &up, form), &times(&exact, &up), 1e-6);
        let (by_gate, by_up) = activation::gated_grad(&x, &up, &grad, form);
        close("by gate", &by_gate, &times(&bent, &up), 3e-6);
        close("by up", &by_up, &times(&exact, &grad), 1e-6);
    }
    // GELU as x · Φ(x), Φ by the sum of the normal density in small steps.
    let cdf = |x: f64| {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = x / 400.0;
        let inner = (1..400).map(|i| density(f64::from(i) * step) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum::<f64>();
        0.5 + step / 3.0 * (density(0.0) + inner + density(x))
    };
    let gelu = |x: f64| x * cdf(x);
    let (x, grad) = (&x[..303], &grad[..303]);
    close("GELU", &activation::gelu(x), &x.iter().map(|x| gelu(f64::from(*x))).collect::<Vec<f64>>(), 1e-6);
    let bent: Vec<f64> = x.iter().zip(grad).map(|(x, g)| derivative(*x, &gelu) * f64::from(*g)).collect();
    close("its gradient", &activation::gelu_grad(x, grad), &bent, 2e-6);
}

/// The context of queries that are the last positions.
fn context(query: &[f64], key: &[f64], value: &[f64], size: usize, scores: Scores) -> Vec<f64> {
    let offset = (key.len() - query.len()) / size;
    let of = |(position, query): (usize, &[f64])| {
        let seen: Vec<usize> = scores.visible(offset + position).collect();
        let score = |at: usize| {
            let score = dot(query, &key[at * size..][..size]) * f64::from(scores.scale);
            scores.cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let parts: Vec<f64> = seen.iter().map(|at| score(*at).exp()).collect();
        let total: f64 = parts.iter().sum();
        let column = |c: usize| seen.iter().zip(&parts).map(|(at, part)| part / total * value[at * size + c]).sum::<f64>();
        (0..size).map(column).collect::<Vec<f64>>()
    };
    query.chunks(size).enumerate().flat_map(of).collect()
}

#[test]
fn attention_and_its_gradients() {
    const SIZE: usize = 6;
    for (queries, keys, window, cap) in
        [(80, 80, None, None), (70, 100, Some(33), Some(1.5)), (2, 50, Some(20), None), (1, 1, None, Some(2.0))]
    {
        let scores = Scores { cap, window, ..Scores::of_size(SIZE) };
        let (query, key, value) = (numbers(queries * SIZE, 0), numbers(keys * SIZE, 13), numbers(keys * SIZE, 31));
        let mut ours = vec![0f32; queries * SIZE];
        attend(&query, &key, &value, &mut ours, SIZE, scores);
        close("context", &ours, &context(&wide(&query), &wide(&key), &wide(&value), SIZE, scores), 3e-6);

        let (key, value, grad) = (&key[..queries * SIZE], &value[..queries * SIZE], numbers(queries * SIZE, 47));
        let (wq, wk, wv, wg) = (wide(&query), wide(key), wide(value), wide(&grad));
        let (mut by_query, mut by_key, mut by_value) = (vec![9f32; query.len()], vec![1f32; key.len()], vec![2f32; value.len()]);
        attend_backward([&query, key, value], &grad, &mut by_query, [&mut by_key, &mut by_value], SIZE, scores);
        let loss = |q: &[f64], k: &[f64], v: &[f64]| dot(&context(q, k, v, SIZE, scores), &wg);
        let more = |grads: Vec<f64>, by: f64| grads.iter().map(|grad| grad + by).collect::<Vec<f64>>();
        close("by query", &by_query, &gradient(&wq, |q| loss(q, &wk, &wv)), 2e-5);
        close("by key", &by_key, &more(gradient(&wk, |k| loss(&wq, k, &wv)), 1.0), 2e-5);
        close("by value", &by_value, &more(gradient(&wv, |v| loss(&wq, &wk, v)), 2.0), 2e-5);
    }
}

#[test]
fn losses_and_their_gradients() {
    let (count, width, vocabulary) = (9, 4, 3_100);
    let (hidden, weight, bias) = (numbers(count * width, 0), numbers(vocabulary * width, 5), numbers(vocabulary, 23));
    let (wh, ww, wb) = (wide(&hidden), wide(&weight), wide(&bias));
    let ids: Vec<u32> = vec![0, 5, 3_099, 3_072, 77, 3_071, 1, 2, u32::MAX];
    let weights = [1.0, 0.5, 2.0, 1.0, 1.0, 1.0, 0.25, 1.0, 0.0];
    let scratch = Mutex::new(Vec::new());
    for (cap, bias, smoothing) in [(None, None, 0.0), (Some(1.5), Some(&bias), 0.1)] {
        let head = Head { weight: gemv::Matrix::Full(&weight), bias: bias.map(Vec::as_slice), cap, width, scratch: &scratch };
        let targets = Targets { labels: &ids, weights: &weights, smoothing };
        let logits = |hidden: &[f64], bias_of: &[f64]| -> Vec<f64> {
            let plain = |v: usize| dot(hidden, &ww[v * width..][..width]) + if bias.is_some() { bias_of[v] } else { 0.0 };
            (0..vocabulary).map(|v| cap.map_or(plain(v), |cap| f64::from(cap) * (plain(v) / f64::from(cap)).tanh())).collect()
        };
        let loss = |row: usize, hidden: &[f64], bias_of: &[f64]| -> f64 {
            if weights[row] == 0.0 {
                return 0.0;
            }
            let (logits, smoothing) = (logits(hidden, bias_of), f64::from(smoothing));
            let sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
            (1.0 - smoothing) * (sum - logits[ids[row] as usize]) + smoothing * (sum - logits.iter().sum::<f64>() / vocabulary as f64)
        };
        let exact: Vec<f64> = (0..count).map(|row| loss(row, &wh[row * width..][..width], &wb)).collect();
        close("losses", &head.losses(&hidden, targets), &exact, 2e-6);

        let mut by_weight = vec![1f32; weight.len()];
        let (total, by_hidden, by_bias) = head.backward(&hidden, targets, Some((&mut by_weight, true)));
        assert!((total - exact.iter().zip(weights).map(|(loss, weight)| loss * f64::from(weight)).sum::<f64>()).abs() < 1e-4);
        let exact: Vec<f64> = (0..count)
            .flat_map(|row| {
                let own = &wh[row * width..][..width];
                gradient(own, |hidden| loss(row, hidden, &wb)).into_iter().map(move |grad| grad * f64::from(weights[row]))
            })
            .collect();
        close("by hidden", &by_hidden, &exact, 2e-5);
        // A word that is a label, and one that is none.
        for word in [77, 2_000] {
            let part = |row: usize| {
                let own = &wh[row * width..][..width];
                let change = gradient(&[0.0], |by| {
                    let mut bias = wb.clone();
                    bias[word] += by[0];
                    let plain = dot(own, &ww[word * width..][..width]);
                    // Without a bias the word's logit is moved in its place.
                    if head.bias.is_some() {
                        loss(row, own, &bias)
                    } else {
                        moved(&logits(own, &wb), word, plain + by[0], ids[row], weights[row])
                    }
                });
                change[0] * f64::from(weights[row])
            };
            let parts: Vec<f64> = (0..count).map(part).collect();
            for c in 0..width {
                let sum: f64 = (0..count).map(|row| parts[row] * wh[row * width + c]).sum();
                close("by weight", &by_weight[word * width + c..][..1], &[1.0 + sum], 2e-5);
            }
            if head.bias.is_some() {
                close("by bias", &by_bias[word..=word], &[parts.iter().sum()], 2e-5);
            }
        }
    }
}

/// The loss of a row with one logit in place of its own.
fn moved(logits: &[f64], word: usize, logit: f64, id: u32, weight: f32) -> f64 {
    if weight == 0.0 {
        return 0.0;
    }
    let mut logits = logits.to_vec();
    logits[word] = logit;
    logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[id as usize]
}

#[test]
#[should_panic(expected = "row Some(1) has a label that is not below the vocabulary's 3")]
fn a_label_beside_the_vocabulary_is_refused() {
    let scratch = Mutex::new(Vec::new());
    let head = Head { weight: gemv::Matrix::Full(&[0.0; 6]), bias: None, cap: None, width: 2, scratch: &scratch };
    head.losses(&[0.0; 4], Targets { labels: &[2, 3], weights: &[1.0, 1.0], smoothing: 0.0 });
}

#[test]
fn updates_of_a_parameter() {
    let (height, width) = (5, 9);
    let args = UpdateArgs { betas: (0.9, 0.99), epsilon: 1e-6, weight_decay: 0.1, step: 3, rate: 0.01, scale: 0.5 };
    let rate = args.rate;
    let (values, grad) = (numbers(height * width, 1), numbers(height * width, 60));
    let (mean, square) =
        (numbers(height * width, 9), wide(&numbers(height * width, 4)).iter().map(|x| (x * x) as f32).collect::<Vec<f32>>());
    let g: Vec<f64> = grad.iter().map(|g| f64::from(*g) * 0.5).collect();
    let m: Vec<f64> = wide(&mean).iter().zip(&g).map(|(m, g)| 0.9 * m + 0.1 * g).collect();
    let v: Vec<f64> = wide(&square).iter().zip(&g).map(|(v, g)| 0.99 * v + 0.01 * g * g).collect();
    let corrected = |i: usize| (m[i] / (1.0 - 0.9f64.powi(3))) / ((v[i] / (1.0 - 0.99f64.powi(3))).sqrt() + 1e-6);
    let exact: Vec<f64> = wide(&values).iter().enumerate().map(|(i, x)| x * (1.0 - rate * 0.1) - rate * corrected(i)).collect();
    let by_row = (0..height as u32).map(|row| (row, grad[row as usize * width..][..width].to_vec())).collect();
    for is_sparse in [false, true] {
        let (mut ours, mut state) = (values.clone(), [mean.clone(), square.clone()]);
        match is_sparse {
            true => adamw_rows(&mut ours, &by_row, &mut state, width, args),
            false => adamw(&mut ours, &grad, &mut state, args),
        }
        close("AdamW", &ours, &exact, 1e-6);
        close("its mean", &state[0], &m, 1e-6);
        close("its mean square", &state[1], &v, 1e-6);
    }

    let beta = 1.0 - 3f64.powf(-0.8);
    let mix = |old: f64, new: f64| beta * old + (1.0 - beta) * new;
    let squares: Vec<f64> = g.iter().map(|g| g * g + f64::from(EPSILON)).collect();
    let clipped = |updates: &[f64]| -> Vec<f64> {
        let clip = (dot(updates, updates) / updates.len() as f64).sqrt().max(1.0);
        wide(&values).iter().zip(updates).map(|(x, u)| x * (1.0 - rate * 0.1) - rate * u / clip).collect()
    };
    let (old_rows, old_columns) = (vec![0.3f32; height], vec![0.2f32; width]);
    let rows: Vec<f64> = squares.chunks(width).map(|row| mix(f64::from(0.3f32), row.iter().sum::<f64>() / width as f64)).collect();
    let column = |c: usize| mix(f64::from(0.2f32), squares.iter().skip(c).step_by(width).sum::<f64>() / height as f64);
    let columns: Vec<f64> = (0..width).map(column).collect();
    let average = rows.iter().sum::<f64>() / height as f64;
    let updates: Vec<f64> = (0..height * width).map(|i| g[i] / (rows[i / width] / average).sqrt() / columns[i % width].sqrt()).collect();
    for is_sparse in [false, true] {
        let (mut ours, mut state) = (values.clone(), [old_rows.clone(), old_columns.clone()]);
        match is_sparse {
            true => adafactor_rows(&mut ours, &by_row, &mut state, width, args),
            false => adafactor(&mut ours, &grad, &mut state, &[height, width], args),
        }
        close("Adafactor", &ours, &clipped(&updates), 1e-6);
        close("its rows", &state[0], &rows, 1e-6);
        close("its columns", &state[1], &columns, 1e-6);
    }
    let v: Vec<f64> = wide(&square).iter().zip(&squares).map(|(v, s)| mix(*v, *s)).collect();
    let (mut ours, mut state) = (values.clone(), [square.clone()]);
    adafactor(&mut ours, &grad, &mut state, &[height * width], args);
    close("Adafactor of a vector", &ours, &clipped(&g.iter().zip(&v).map(|(g, v)| g / v.sqrt()).collect::<Vec<f64>>()), 1e-6);
}

#[test]
fn packed_numbers_of_every_format() {
    let formats = [
        (GgmlDType::F16, Format::F16),
        (GgmlDType::BF16, Format::Bf16),
        (GgmlDType::Q8_0, Format::Q8),
        (GgmlDType::Q4_0, Format::Q4),
        (GgmlDType::Q4_1, Format::Q4Offset),
        (GgmlDType::Q5_0, Format::Q5),
        (GgmlDType::Q5_1, Format::Q5Offset),
        (GgmlDType::Q4K, Format::Q4K),
        (GgmlDType::Q5K, Format::Q5K),
        (GgmlDType::Q6K, Format::Q6K),
    ];
    for (dtype, format) in formats {
        let plain = Tensor::from_vec(numbers(5 * 256, 3), (5, 256), &Device::Cpu).unwrap();
        let packed = QTensor::quantize(&plain, dtype).unwrap();
        let exact = packed.dequantize(&Device::Cpu).unwrap().to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap();
        let mut ours = vec![0f32; 5 * 256];
        widen(format, &packed.data().unwrap(), &mut ours);
        close(&format!("{format:?}"), &ours, &wide(&exact.to_vec1::<f32>().unwrap()), 1e-6);
    }
}

#[test]
fn all_of_it_at_every_lower_level() {
    let own = "all_of_it_at_every_lower_level";
    for level in Level::ALL.into_iter().filter(|level| *level < Level::current()) {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        let output = tests.args(["--skip", own]).env(VARIABLE, level.name()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !text.contains("running 0 tests"), "{level:?}:\n{text}");
    }
}
