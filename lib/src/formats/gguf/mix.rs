//! A format of files and the place of a matrix → the format of its numbers, mixed as llama.cpp's `llama_tensor_get_type` does.

use candle_core::quantized::GgmlDType;

use crate::models::config::Config;

/// The number formats of a `.gguf` file, by llama.cpp's names of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GgufFormat {
    /// 32 bits: the model as it is.
    F32,
    /// 16 bits with 5 of them for the exponent.
    F16,
    /// 16 bits with 8 of them for the exponent.
    BF16,
    /// 8 bits and a half.
    Q8_0,
    /// 4 bits and a half; the output projection has 6 or 8.
    Q4_0,
    /// `Q4_K_M`: 4 bits and a half, in some layers and the output projection 6.
    Q4KM,
}

impl GgufFormat {
    /// llama.cpp's name, such as `Q4_K_M`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4KM => "Q4_K_M",
        }
    }

    /// llama.cpp's number of the mixture, `general.file_type`.
    pub(crate) fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
            Self::BF16 => 32,
        }
    }

    fn usual(self) -> GgmlDType {
        match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::BF16 => GgmlDType::BF16,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4KM => GgmlDType::Q4K,
        }
    }

    /// Whether its numbers stand in blocks.
    pub(crate) fn is_quantized(self) -> bool {
        self.usual().block_size() > 1
    }

    /// The format of the tensor `name` of a file, whose rows have `columns` numbers; vectors stay f32.
    pub(crate) fn of_tensor(self, config: &Config, name: &str, shape: &[usize]) -> GgmlDType {
        let &[_, columns] = shape else { return GgmlDType::F32 };
        if !self.is_quantized() {
            return self.usual();
        }
        fitting(self.mixed(config, name, columns), columns)
    }

    fn mixed(self, config: &Config, name: &str, columns: usize) -> GgmlDType {
        let usual = self.usual();
        let is_head = name == "output.weight" || name == "token_embd.weight" && config.tie_word_embeddings();
        if is_head {
            return match usual {
                GgmlDType::Q8_0 => usual,
                _ if !columns.is_multiple_of(usual.block_size()) => GgmlDType::Q8_0,
                _ => GgmlDType::Q6K,
            };
        }
        let layers = config.num_hidden_layers();
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse().ok());
        let Some(layer) = layer.filter(|_| self == Self::Q4KM) else { return usual };
        let is_value = ["attn_v.weight", "attn_qkv.weight"].iter().any(|part| name.ends_with(part));
        match is_value || name.ends_with("ffn_down.weight") {
            true if has_more_bits(layer, layers) => GgmlDType::Q6K,
            // What llama.cpp calls 70B: eight heads share a value.
            true if is_value && layers == 80 && is_grouped(config) => GgmlDType::Q5K,
            _ => usual,
        }
    }
}

/// The first and the last eighth of the layers, and each third one between them.
fn has_more_bits(layer: usize, layers: usize) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

fn is_grouped(config: &Config) -> bool {
    matches!(config, Config::Llama(config) if config.kv_heads() != config.num_attention_heads)
}

/// The format, or the next that cuts rows of `columns` numbers into whole blocks: llama.cpp's `tensor_type_fallback`.
fn fitting(dtype: GgmlDType, columns: usize) -> GgmlDType {
    let fits = |dtype: &GgmlDType| columns.is_multiple_of(dtype.block_size());
    let smaller = match dtype {
        GgmlDType::Q4K => GgmlDType::Q5_0,
        GgmlDType::Q5K => GgmlDType::Q5_1,
        GgmlDType::Q6K => GgmlDType::Q8_0,
        other => other,
    };
    [dtype, smaller].into_iter().find(fits).unwrap_or(GgmlDType::F16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::config::LlamaConfig;

    /// What `llama-quantize` makes of such models, by its source.
    #[test]
    fn formats_are_llama_cpps() {
        use GgmlDType::*;
        let config = |width, layers| Config::from(LlamaConfig::new(96, width, 512, layers, [4, 2]));
        let of = |format: GgufFormat, config: &Config, name: &str, columns| format.of_tensor(config, name, &[8, columns]);
        let large = config(256, 16);
        let down: Vec<GgmlDType> =
            (0..16).map(|layer| of(GgufFormat::Q4KM, &large, &format!("blk.{layer}.ffn_down.weight"), 512)).collect();
        let more: Vec<usize> = (0..16).filter(|&layer| down[layer] == Q6K).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
        assert!(down.iter().all(|dtype| [Q4K, Q6K].contains(dtype)));
        assert_eq!(of(GgufFormat::Q4KM, &large, "blk.0.attn_v.weight", 256), Q6K);
        assert_eq!(of(GgufFormat::Q4KM, &large, "blk.0.attn_k.weight", 256), Q4K);
        assert_eq!(of(GgufFormat::Q4KM, &large, "output.weight", 256), Q6K);
        assert_eq!(of(GgufFormat::Q4KM, &large, "token_embd.weight", 256), Q4K);
        assert_eq!(of(GgufFormat::Q4_0, &large, "output.weight", 256), Q6K);
        assert_eq!(of(GgufFormat::Q8_0, &large, "output.weight", 256), Q8_0);
        // Rows that are no multiple of 256, and none of 32.
        assert_eq!(of(GgufFormat::Q4KM, &large, "blk.2.attn_q.weight", 96), Q5_0);
        assert_eq!(of(GgufFormat::Q4KM, &large, "blk.0.attn_v.weight", 96), Q8_0);
        assert_eq!(of(GgufFormat::Q4KM, &large, "output.weight", 96), Q8_0);
        assert_eq!(of(GgufFormat::Q4_0, &large, "output.weight", 96), Q8_0);
        assert_eq!(of(GgufFormat::Q8_0, &large, "blk.0.attn_q.weight", 48), F16);
        assert_eq!(GgufFormat::Q4KM.of_tensor(&large, "output_norm.weight", &[256]), F32);
        let tied = Config::from(LlamaConfig { tie_word_embeddings: true, ..LlamaConfig::new(96, 256, 512, 80, [4, 2]) });
        assert_eq!(of(GgufFormat::Q4KM, &tied, "token_embd.weight", 256), Q6K);
        assert_eq!(of(GgufFormat::Q4KM, &tied, "blk.11.attn_v.weight", 256), Q5K);
        assert_eq!(of(GgufFormat::Q4KM, &tied, "blk.11.ffn_down.weight", 256), Q4K);
    }
}
