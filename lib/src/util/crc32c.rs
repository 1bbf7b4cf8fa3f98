//! Bytes → CRC-32C (Castagnoli, RFC 3720): finds cut files and flipped bits; TensorBoard's records carry it as well.

/// Eight tables: the checksum of a byte that 0 to 7 others follow.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let sum = tables[table - 1][byte];
            tables[table][byte] = (sum >> 8) ^ tables[0][(sum & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of `bytes`, or of what had the checksum `before` with `bytes` after it; 0 begins.
pub fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    let mut sum = !before;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word) ^ u64::from(sum);
        sum = (0..8).fold(0, |sum, place| sum ^ TABLES[7 - place][(word >> (8 * place)) as usize & 0xff]);
    }
    for byte in rest {
        sum = (sum >> 8) ^ TABLES[0][((sum ^ u32::from(*byte)) & 0xff) as usize];
    }
    !sum
}

/// The checksum as TFRecord files store it, so that a checksum of checksums stays meaningful.
pub fn masked(bytes: &[u8]) -> u32 {
    crc32c(0, bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_3720() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(0, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(0, &(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn parts_are_the_whole() {
        let bytes: Vec<u8> = (0..100).map(|i| (i * 37) as u8).collect();
        assert!((0..100).all(|cut| crc32c(crc32c(0, &bytes[..cut]), &bytes[cut..]) == crc32c(0, &bytes)));
    }
}
