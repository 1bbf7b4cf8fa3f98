#!/bin/sh
# The source pages of the installed rust-docs component -> std-src.tar.gz beside this script.
# In: $(rustc --print sysroot)/share/doc/rust/html/src. Out: core, alloc and std as <crate>/src/**.rs, without vendor
# intrinsics (stdarch) and portable SIMD, which no lesson needs and which are half of the text.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
html=$(rustc --print sysroot)/share/doc/rust/html/src
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for crate in core alloc std; do
    cd "$html/$crate"
    find . -name '*.rs.html' | grep -v -e stdarch -e portable-simd | while read -r page; do
        file=$out/$crate/src/${page%.html}
        mkdir -p "$(dirname "$file")"
        # Keep the code block; drop line numbers and tags; undo the five entities, the ampersand last.
        sed -e '1,/<pre class="rust"><code>/{s/.*<pre class="rust"><code>//}' \
            -e '/<\/code><\/pre>/,$ {s/<\/code><\/pre>.*//}' \
            -e 's/<a href=#[0-9]* id=[0-9]* data-nosnippet>[0-9]*<\/a>//g' -e 's/<[^>]*>//g' \
            -e 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&#39;/'"'"'/g; s/&#x27;/'"'"'/g; s/&amp;/\&/g' "$html/$crate/$page" > "$file"
    done
done
# What no inference and no help text needs goes, since rust-analyzer keeps all of it in memory: plain comments, attributes
# that only the compiler reads, and the documentation inside the macros that make the methods of twelve integer types.
find "$out" -name '*.rs' -exec sed -i -E \
    -e '/^[[:space:]]*#\[(stable|rustc_const_stable|rustc_const_unstable|rustc_allow_const_fn_unstable|must_use|inline|track_caller|cold|rustc_nounwind|rustc_diagnostic_item|rustc_inherit_overflow_checks|allow)([ =(][^]]*)?\]$/d' \
    -e '/^[[:space:]]*\/\/( |$)/d' {} +
sed -i -E '/^[[:space:]]*(\/\/\/|#\[doc)/d' "$out/core/src/num/int_macros.rs" "$out/core/src/num/uint_macros.rs"
rustc --version > "$out/VERSION"
cd "$out" && tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - VERSION alloc core std |
    gzip -9n > "$here/std-src.tar.gz"
ls -l "$here/std-src.tar.gz"
