//! Models whose matrices have fewer bits: how far their answers are from those of 32 bits, and that every way computes the same.

use finetuning::*;

use crate::support::finetuned::{finetuned, learnt};
use crate::support::{largest_difference, tiny_llama_of, tiny_model, values};

const FORMATS: [GgmlDType; 5] = [GgmlDType::F16, GgmlDType::BF16, GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1];

/// Each format's logits beside those of its unpacked twin: the walk over packed rows and the plain product are one.
#[test]
fn packed_products_are_those_of_the_unpacked_numbers() {
    for base in [tiny_model(3), tiny_llama_of(64, 3, true), tiny_llama_of(64, 4, false)] {
        for dtype in FORMATS {
            let packed = base.quantized(dtype).unwrap();
            let unpacked = packed.to_dtype(DType::F32).unwrap();
            assert!(unpacked.packed().is_empty() && packed.weights().iter().all(|(_, weight)| weight.rank() == 1));
            // Few rows are walked, many are multiplied after unpacking.
            for length in [1, 3, 20, 50] {
                let ids: Vec<u32> = (0..3 * length).map(|i| (i * 13 % 96) as u32).collect();
                let [own, exact] = [&packed, &unpacked].map(|model| values(&model.forward(&ids, 3, false).unwrap()));
                // With bf16 the inputs of a product are rounded, too; what that gives exactly is a test of `model/wide.rs`.
                let bound = if dtype == GgmlDType::BF16 { 2e-2 } else { 2e-5 };
                assert!(largest_difference(&own, &exact) < bound, "{dtype:?}, {length}: {}", largest_difference(&own, &exact));
            }
        }
    }
}

#[test]
fn answers_in_fewer_bits_are_almost_those_of_32() {
    let (model, tokenizer) =
        (AutoModelForCausalLM::from_pretrained(finetuned()).unwrap(), AutoTokenizer::from_pretrained(finetuned()).unwrap());
    let exact = evaluate_answers(&model, &tokenizer, &learnt(), -1).unwrap();
    for (dtype, bytes, same) in
        [(GgmlDType::F16, 0.51, 29), (GgmlDType::BF16, 0.51, 29), (GgmlDType::Q8_0, 0.28, 29), (GgmlDType::Q4_0, 0.2, 25)]
    {
        let packed = model.quantized(dtype).unwrap();
        let share = packed.memory_footprint() as f64 / model.memory_footprint() as f64;
        assert!(share < bytes, "{dtype:?}: {share}");
        let own = evaluate_answers(&packed, &tokenizer, &learnt(), -1).unwrap();
        let equal = own.rows.iter().zip(&exact.rows).filter(|(a, b)| a.predicted_answer == b.predicted_answer).count();
        println!("{dtype:?}: {equal} of 30 answers are the same, {:.3} of the memory", share);
        assert!(equal >= same, "{dtype:?}: {equal}");
    }
}
