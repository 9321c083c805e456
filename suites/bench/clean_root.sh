#!/bin/bash
# Tests set-up on a machine with only Debian 12 (minbase), Python 3 and git, and times it.
#
#   suites/bench/clean_root.sh DIR [COMMAND]      as root, with mmdebstrap installed
#
# DIR is the root to use: created if missing and kept afterwards, so that a second call times a second start.
# COMMAND runs in a clone of this repository's HEAD; without one: ./assay setup, ./assay run, ./assay test.
# Mounts and processes have separate namespaces and end with this script.
set -euo pipefail

if [ $# -lt 1 ] || [ "$(id -u)" != 0 ]; then
    echo "usage: clean_root.sh DIR [COMMAND], as root" >&2
    exit 4
fi
dir=$(realpath -m -- "$1")
command=${2:-'./assay setup && time ./assay --help >/dev/null && ./assay run && ./assay test'}
repository=$(git -C "$(dirname -- "$0")" rev-parse --show-toplevel)

if [ ! -d "$dir" ]; then
    mmdebstrap --quiet --variant=minbase --include=git,python3,ca-certificates bookworm "$dir"
fi

# Settings to reach the registries of this network: names, certificates, pip's configuration.
cp -L /etc/resolv.conf /etc/hosts "$dir/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/ca-certificates.crt"
settings=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8)
while IFS= read -r line; do
    settings+=("$line")
done < <(env | grep -E '^(PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT|PROXY)|SSL_CERT_FILE|[a-zA-Z]+_(proxy|PROXY)|CI|TERM)=' || true)

# Every call updates the clone to HEAD; its .venv and build/ are kept.
if [ ! -d "$dir/assay/.git" ]; then
    git clone --quiet --no-hardlinks -- "$repository" "$dir/assay"
fi
git -C "$dir/assay" fetch --quiet -- "$repository" HEAD
git -C "$dir/assay" checkout --quiet --detach FETCH_HEAD

export dir command
exec env time -f 'clean root: %e s wall, %U s user' \
    unshare --mount --pid --fork --kill-child --mount-proc="$dir/proc" \
    bash -euc 'mount --rbind /dev "$dir/dev"; mount --rbind /sys "$dir/sys"
               exec env -i "$@" chroot "$dir" /bin/bash -c "cd /assay && $command"' bash "${settings[@]}"
