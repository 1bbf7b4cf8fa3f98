//! What a file of others may declare → the largest that is accepted, each with its reason.
//!
//! A limit is several times what is known to exist, and small enough that a machine on which the course runs survives it.

/// How many bytes a kind of file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The kind, as messages call it.
    pub what: &'static str,
    /// Its most bytes.
    pub bytes: u64,
}

impl Limit {
    /// A limit of `bytes` for `what`, such as "an adapter of this size".
    pub const fn new(what: &'static str, bytes: u64) -> Self {
        Self { what, bytes }
    }
}

/// `config.json`, `generation_config.json`, `adapter_config.json`, `training_args.json`, a card: the largest known, lists of the
/// modules of a quantised model, have some 100 KB; a value in memory takes up to 25 times its text.
pub const CONFIGURATION: Limit = Limit::new("a configuration", 4 << 20);
/// `tokenizer.json`: that of Gemma 3, with 262,144 tokens, has 33 MB.
pub const TOKENIZER: Limit = Limit::new("a tokenizer", 128 << 20);
/// `tokenizer_config.json` and `special_tokens_map.json`: Gemma 3 lists 6,000 added tokens in 1.2 MB.
pub const TOKENIZER_CONFIGURATION: Limit = Limit::new("a tokenizer's configuration", 16 << 20);
/// A chat template: those with tools have 20 KB.
pub const TEMPLATE: Limit = Limit::new("a chat template", 1 << 20);
/// `model.safetensors.index.json`: a model of 200,000 experts' matrices has 20 MB.
pub const INDEX: Limit = Limit::new("an index of weights", 64 << 20);
/// The header of a `.safetensors` file; the format itself allows 100 MB.
pub const SAFETENSORS_HEADER: Limit = Limit::new("the header of a safetensors file", 64 << 20);
/// `manifest.json` of a checkpoint: a line for each file.
pub const MANIFEST: Limit = Limit::new("a manifest", 4 << 20);
/// `trainer_state.json` and `history.csv`: a million steps have 200 MB.
pub const HISTORY: Limit = Limit::new("the history of a run", 512 << 20);
/// A small text beside others: a reference of the cache, a token, an owner's number.
pub const NOTE: Limit = Limit::new("a note", 64 << 10);
/// A file that goes into a commit as it is, rather than into the store for large ones; the hub's own bound is 10 MB.
pub const COMMITTED: Limit = Limit::new("a file beside the store for large ones", 64 << 20);
/// The hub's JSON: a listing of 100,000 files has 10 MB.
pub const HUB_ANSWER: Limit = Limit::new("an answer of the hub", 64 << 20);
/// The body of a refusal, of which 300 characters are shown.
pub const REFUSAL: Limit = Limit::new("the reason of a refusal", 64 << 10);

/// Bytes of a line of a text file, and of a JSON value that has to be read whole: a row with a book has 10 MB.
pub const LINE: usize = 256 << 20;
/// Bytes of a page of a .parquet file when it is unpacked; writers aim at 1 MB, a dictionary of long texts has more.
pub const PAGE: u64 = 256 << 20;
/// A workbook of Excel when it is unpacked: a full sheet of a million rows and ten columns has 600 MB.
pub const WORKBOOK: Limit = Limit::new("a workbook", 1 << 30);
/// The beginning of a card that is read for its configs; those of the hub have some 100 KB.
pub const CARD: Limit = Limit::new("the head of a card", 1 << 20);
/// Files below a folder of rows.
pub const DATA_FILES: usize = 200_000;
/// A document: a larger file is data.
pub const DOCUMENT: Limit = Limit::new("a document", 16 << 20);
/// Files below a folder of documents.
pub const DOCUMENTS: usize = 100_000;
/// Folders inside of each other below a folder of documents.
pub const DOCUMENT_FOLDERS: usize = 32;
/// Fields of a row, columns of a table: more than any table has, and few enough that their names alone fill no memory.
pub const FIELDS: usize = 1 << 18;

/// Values in a JSON document together, each of which takes 72 bytes and more: a million logged steps have 10 million.
pub const JSON_VALUES: usize = 1 << 24;
/// Values in one row, or in a file that is one value: 800,000 rows of ten columns. A list of ones takes 40 times its text.
pub const ROW_VALUES: usize = 1 << 23;
/// Objects and lists inside of each other in JSON: serde_json stops there by itself, and every reader of ours leaves it so.
pub const JSON_DEPTH: usize = 128;
/// Lists inside of each other in the metadata of a `.gguf` file; none is known that nests.
pub const GGUF_DEPTH: usize = 4;
/// Entries of the metadata of a `.gguf` file: some hundred are usual.
pub const GGUF_ENTRIES: u64 = 1 << 16;
/// Values in all lists of a `.gguf` file together: a vocabulary of 262,144 tokens with scores, types and merges has 1.3 million. A
/// value takes 32 bytes, and a text its own memory besides.
pub const GGUF_VALUES: u64 = 1 << 23;
/// Bytes of one text of a `.gguf` file: a template or a licence.
pub const GGUF_TEXT: u64 = 1 << 20;
/// Squares of the bytes of a `.gguf` file's tokens together: those of Gemma 3 have 40 million.
pub const TOKEN_LETTERS: u64 = 1 << 32;
/// Tensors of a file: 400 layers of 128 experts with three matrices have 153,600.
pub const TENSORS: u64 = 1 << 20;
/// Dimensions of a tensor.
pub const RANK: usize = 8;
/// Numbers of a tensor: more than the largest embedding, and far from where sizes in bytes overflow.
pub const ELEMENTS: u64 = 1 << 42;

/// Words of a vocabulary: ids below 2²⁴ are exact in f32.
pub const VOCABULARY: u64 = 1 << 24;
/// Width of the residual stream; 16,384 is the widest known.
pub const HIDDEN: u64 = 1 << 20;
/// Width of a feed-forward layer.
pub const INTERMEDIATE: u64 = 1 << 22;
/// Blocks; 126 is the deepest known, and memory for the names alone grows with them.
pub const LAYERS: u64 = 1 << 12;
/// Attention heads, and dimensions of one.
pub const HEADS: u64 = 1 << 14;
/// Positions. Angles are computed up to the longest text alone.
pub const POSITIONS: u64 = 1 << 31;

/// Operators in one expression of a template: each may be a level of the reader's stack. The longest known have 40.
pub const OPERATORS: usize = 1_000;
/// `elif` in a template: each is a level of the reader's stack.
pub const BRANCHES: usize = 1_000;
/// What a template may do before it is stopped: a step each for an instruction and for 64 bytes that are written.
pub const TEMPLATE_STEPS: u64 = 2_000_000;
/// Spaces of a level of `tojson`.
pub const INDENT: usize = 64;
