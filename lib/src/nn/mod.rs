//! Tensors → tensors, with gradients: the layers that all families of models are built of.
//!
//! | file | what it holds |
//! |---|---|
//! | [`backend`] | how operations compute: fused, composed of candle's, or by our kernels for a GPU |
//! | [`check`] | whether those kernels are right on a device |
//! | [`tape`] | one pass, and the way back through it |
//! | [`parameter`], [`weights`] | a weight with its gradient, and all of a model by name |
//! | [`linear`], [`norm`], [`activation`], [`rotary`], [`attention`], [`lm_head`] | the layers |
//! | [`lora`], [`dora`] | settings and matrices of a low-rank change; the lengths of its rows |
//! | [`kernel_op`] | our kernels for a GPU as operations on tensors |
//! | `packed` | matrices in few bits |
//! | [`device`] | what computes |
//!
//! Imports: compute, error, util.

pub mod activation;
pub mod attention;
pub mod backend;
pub mod check;
pub mod device;
pub mod dora;
pub mod kernel_op;
pub mod linear;
pub mod lm_head;
pub mod lora;
pub mod norm;
pub(crate) mod packed;
pub mod parameter;
pub mod rotary;
pub mod tape;
pub mod weights;
