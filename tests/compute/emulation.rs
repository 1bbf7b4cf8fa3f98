//! The kernels for a GPU = the fused operations of the CPU, for every family: their source is compiled by the machine's C compiler,
//! and the threads of a block take turns (`tests/compute/emulate.c`).

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use finetuning::compute::cpu::activation::{GELU_TANH, SILU};
use finetuning::compute::cpu::loss::Targets;
use finetuning::compute::cuda::call::Call;
use finetuning::compute::cuda::operation::Losses;
use finetuning::nn::activation;
use finetuning::nn::backend::Backend;
use finetuning::nn::check::{distance_from_composed, fault};
use finetuning::nn::lm_head::losses;
use finetuning::nn::tape::Pass;
use finetuning::*;

use crate::compute::composed::{compare_gradients, compare_logits, ids, models, trained};
use crate::support::{assert_close, fresh_folder, root, rows, values};

/// What the check of a GPU asks for: all kernels of a forward pass and of the gradient by its input.
const KERNELS: [&str; 12] = [
    "norm_rows",
    "norm_grad",
    "heads",
    "heads_grad",
    "softmax",
    "softmax_grad",
    "gelu",
    "gelu_grad",
    "gated",
    "gated_grad",
    "losses",
    "losses_grad",
];

/// The program of `tests/compute/emulate.c`.
fn emulator() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = fresh_folder().join("emulate");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-U_FORTIFY_SOURCE", "-Wall", "-Werror", "-x", "c"]).arg(root().join("tests/compute/emulate.c"));
        compiler.arg("-I").arg(root().join("lib/compute/src/cuda")).arg("-o").arg(&program).arg("-lm");
        let output = compiler.output().expect("Rust links with a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        program
    })
}

/// One kernel in a process of its own.
fn run(call: &Call, inputs: [&[f32]; 3]) -> Vec<f32> {
    let mut command = Command::new(emulator());
    command.arg(call.kernel()).arg(call.blocks().to_string()).args(call.counts().map(|count| count.to_string()));
    command.args(call.numbers().map(|number| number.to_string())).args(inputs.map(|input| input.len().to_string()));
    let mut child = command.arg(call.output().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes: Vec<u8> = inputs.concat().iter().flat_map(|number| number.to_le_bytes()).collect();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}: {}", call.kernel(), output.status);
    output.stdout.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn kernels() -> Backend {
    Backend::emulated(run)
}

#[test]
fn logits_and_losses_are_the_fused_ones() {
    compare_logits(kernels());
}

#[test]
fn every_gradient_is_the_fused_one() {
    compare_gradients(&[false], kernels());
}

#[test]
fn positions_after_a_cache_are_the_same() {
    for (name, model) in models() {
        let generated = |model: &CausalLm| generate(model, &ids(9), 15, u32::MAX, GenerationConfig::default()).unwrap();
        assert_eq!(generated(&model.with_backend(kernels())), generated(&model), "{name}");
    }
}

#[test]
fn training_is_the_same() {
    for optim in [Optim::AdamW, Optim::Adafactor] {
        let [fused, other] = [Backend::fused(), kernels()].map(|backend| trained(optim, backend));
        assert_close("losses", &other.0, &fused.0, 1e-4, 0.0);
        assert_close("evaluation", &[other.1], &[fused.1], 1e-4, 0.0);
    }
}

#[test]
fn adafactor_of_many_rows_is_the_fused_one() {
    // An embedding of several groups of rows.
    let trained = |backend| {
        let model = CausalLm::random(NeoxConfig::new(600, 32, 1, 2), 1, None, &Device::Cpu).unwrap().with_backend(backend);
        let rows = rows(&(0..4).map(|row| (0..60).map(|i| (row * 150 + i * 7) % 600).collect()).collect::<Vec<Vec<u32>>>());
        let arguments = TrainingArguments {
            optim: Optim::Adafactor,
            learning_rate: 0.01,
            max_steps: 3,
            disable_tqdm: true,
            output_dir: fresh_folder(),
            ..Default::default()
        };
        Trainer::new(&model, arguments, rows.clone(), rows).unwrap().train().unwrap();
        // The gradient of a key's bias is rounding noise, which Adafactor makes as large as any other.
        model
            .weights()
            .iter()
            .filter(|(_, parameter)| parameter.rank() == 2)
            .map(|(_, parameter)| values(parameter.as_tensor()))
            .collect::<Vec<_>>()
    };
    for (kernel, fused) in trained(kernels()).iter().zip(&trained(Backend::fused())) {
        assert_close("weights", kernel, fused, 2e-4, 1e-3);
    }
}

#[test]
fn activations_of_many_blocks_are_the_fused_ones() {
    let numbers: Vec<f32> = (0..3000).map(|i| (i * 7919 % 101) as f32 / 10.0 - 5.0).collect();
    let (x, up) =
        (Tensor::from_vec(numbers.clone(), (3, 1000), &Device::Cpu).unwrap(), Tensor::from_vec(numbers, 3000, &Device::Cpu).unwrap());
    let up = up.flip(&[0]).unwrap().reshape((3, 1000)).unwrap();
    let all = |backend| {
        let pass = Pass::new(backend);
        [
            activation::gelu(&pass, &x),
            activation::gelu_tanh(&pass, &x),
            activation::gated(&pass, &x, &up, SILU),
            activation::gated(&pass, &x, &up, GELU_TANH),
        ]
        .map(|y| values(&y.unwrap()))
    };
    for (kernel, fused) in all(kernels()).iter().zip(all(Backend::fused())) {
        assert_close("activation", kernel, &fused, 2e-6, 2e-6);
    }
}

#[test]
fn an_id_without_a_logit_is_read_nowhere() {
    let (logits, call) = ([0.5, -1.0, 2.0, 0.0, 0.25].repeat(6), Losses { rows: 6, width: 5, smoothing: 0.1 });
    let ids = [4.0, -1.0, 5.0, 3e9, f32::NAN, f32::INFINITY];
    let own = call.rows().emulate(run, [&logits, &ids, &[]]).unwrap();
    let grads = call.grad().emulate(run, [&logits, &ids, &[1.0; 6]]).unwrap();
    assert!(own[0] > 0.0 && own[1] == 0.0 && own[2..].iter().all(|loss| loss.is_nan()), "{own:?}");
    assert!(grads[..5].iter().all(|grad| grad.is_finite() && *grad != 0.0), "{grads:?}");
    assert!(grads[5..10].iter().all(|grad| *grad == 0.0) && grads[10..].iter().all(|grad| grad.is_nan()), "{grads:?}");

    let logits = Tensor::from_vec(logits, (6, 5), &Device::Cpu).unwrap();
    let of = |ids: &[u32; 6], weights: &[f32; 6]| losses(kernels(), &logits, Targets { labels: ids, weights, smoothing: 0.0 });
    let error = of(&[0, 1, 2, 3, 4, 5], &[1.0; 6]).unwrap_err().to_string();
    assert!(error.contains("row 5 has the label 5, of a vocabulary of 5"), "{error}");
    assert_eq!(values(&of(&[0, 1, 2, 3, 4, 5], &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0]).unwrap())[5], 0.0, "a row that does not count");
}

#[test]
fn the_check_of_a_new_gpu_sees_a_wrong_kernel() {
    assert_eq!(fault(kernels(), &Device::Cpu), None);
    let wrong = |kernel: &'static str| -> Option<String> {
        thread_local!(static WRONG: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") });
        WRONG.set(kernel);
        let runner = |call: &Call, inputs: [&[f32]; 3]| {
            let mut output = run(call, inputs);
            if call.kernel() == WRONG.get() {
                output.iter_mut().step_by(3).for_each(|number| *number += 0.01);
            }
            output
        };
        fault(Backend::emulated(runner), &Device::Cpu)
    };
    for kernel in KERNELS {
        assert!(wrong(kernel).is_some(), "{kernel} may be wrong unseen");
    }
    let nan = |pass: &Pass, x: &Tensor| Ok(vec![(activation::gelu(pass, x)? * f64::NAN)?]);
    assert_eq!(distance_from_composed(kernels(), &Device::Cpu, &nan).unwrap(), f32::INFINITY);
}
