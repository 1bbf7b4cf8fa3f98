//! A packed matrix of candle → its numbers, by the formats of the compute crate where it has them.

use candle_core::quantized::{GgmlDType, QTensor};
use compute::cpu::packed::{self, Format, widen};

/// The format of candle's name; none for those that are unpacked by candle.
pub fn format_of(dtype: GgmlDType) -> Option<Format> {
    match dtype {
        GgmlDType::F16 => Some(Format::F16),
        GgmlDType::BF16 => Some(Format::Bf16),
        GgmlDType::Q8_0 => Some(Format::Q8),
        GgmlDType::Q4_0 => Some(Format::Q4),
        GgmlDType::Q4_1 => Some(Format::Q4Offset),
        GgmlDType::Q5_0 => Some(Format::Q5),
        GgmlDType::Q5_1 => Some(Format::Q5Offset),
        GgmlDType::Q4K => Some(Format::Q4K),
        GgmlDType::Q5K => Some(Format::Q5K),
        GgmlDType::Q6K => Some(Format::Q6K),
        _ => None,
    }
}

/// All numbers of a matrix, row-major.
pub fn dequantize(matrix: &QTensor) -> candle_core::Result<Vec<f32>> {
    let Some(format) = format_of(matrix.dtype()) else {
        return matrix.dequantize(&candle_core::Device::Cpu)?.flatten_all()?.to_vec1();
    };
    let mut out = vec![0f32; matrix.shape().elem_count()];
    widen(format, &matrix.data()?, &mut out);
    Ok(out)
}

/// Some rows of a matrix `(V,C)` → `(N,C)`; none where an id is not below V.
pub fn dequantize_rows(matrix: &QTensor, ids: &[u32]) -> candle_core::Result<Option<Vec<f32>>> {
    let (rows, width) = matrix.shape().dims2()?;
    if ids.iter().any(|&id| id as usize >= rows) {
        return Ok(None);
    }
    let mut out = vec![0f32; ids.len() * width];
    let Some(format) = format_of(matrix.dtype()) else {
        let all = dequantize(matrix)?;
        ids.iter().zip(out.chunks_exact_mut(width)).for_each(|(&id, out)| out.copy_from_slice(&all[id as usize * width..][..width]));
        return Ok(Some(out));
    };
    let (bytes, row_bytes) = (matrix.data()?, format.bytes(width));
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(width)) {
        packed::dequantize(format, &bytes[id as usize * row_bytes..][..row_bytes], out);
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn numbers_are_those_that_candle_unpacks() {
        // Large, tiny and subnormal halves among them.
        let values: Vec<f32> = (0..2048).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * [1e-7, 1e-4, 1.0, 100.0][i % 4]).collect();
        let tensor = Tensor::from_vec(values, (8, 256), &Device::Cpu).unwrap();
        use GgmlDType::*;
        for dtype in [F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4K, Q5K, Q6K, Q3K] {
            assert_eq!(format_of(dtype).is_none(), dtype == Q3K);
            let packed = QTensor::quantize(&tensor, dtype).unwrap();
            let exact: Vec<f32> = packed.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let own = dequantize(&packed).unwrap();
            let close = |a: &f32, b: &f32| (a - b).abs() <= 1e-6 * b.abs();
            assert!(own.len() == 2048 && own.iter().zip(&exact).all(|(a, b)| close(a, b)), "{dtype:?}");
            let rows = dequantize_rows(&packed, &[7, 0]).unwrap().unwrap();
            assert_eq!(rows, [&own[1792..], &own[..256]].concat(), "{dtype:?}");
            assert!(dequantize_rows(&packed, &[8]).unwrap().is_none());
        }
    }
}
