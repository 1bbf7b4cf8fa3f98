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
rustc --version > "$out/VERSION"
cd "$out" && tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - VERSION alloc core std |
    gzip -9n > "$here/std-src.tar.gz"
ls -l "$here/std-src.tar.gz"
