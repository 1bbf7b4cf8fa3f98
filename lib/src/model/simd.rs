//! A function → the same function compiled for the widest instruction set of the machine that runs it.
//!
//! The one file of this crate with `unsafe`: calling code that was compiled for an instruction set is only allowed
//! after that set has been found, which the macro does right before the call.

/// Defines a function whose body is compiled three times on x86-64: for AVX-512, for AVX2 with FMA, and for any machine.
/// What the body calls must be `#[inline(always)]`, or it stays compiled for any machine.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn portable($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $output)? {
                    portable($($argument),*)
                }

                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl")
                    {
                        // SAFETY: all six features of `avx512` were found on this machine in the two lines above.
                        return unsafe { avx512($($argument),*) };
                    }
                    // SAFETY: both features of `avx2` were found on this machine two lines above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
pub(crate) use vectorised;
